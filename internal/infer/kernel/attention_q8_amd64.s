#include "textflag.h"
#include "attention_amd64.h"

// The kernels of this file do what those for binary16 do, for quant.KVQ8, where dim is a multiple of 32. A byte times its scale
// is exact in float32, so the sums are those of widened numbers, bit for bit.

// BEGIN finds the block of position BX, in R12, and the one to be fetched ahead, in DI, and asks for the latter's first scales.
// Behind it R13 is at the block's scales, CX at SCALES, and AX has dim.
#define BEGIN \
	MOVQ BLOCKS(SI), R12; MOVQ BX, AX; SHRQ $4, AX; MOVLQSX (R12)(AX*4), R12; IMULQ STRIDE(SI), R12; ADDQ BASE(SI), R12; \
	NEXTBLOCK; \
	MOVQ DX, AX; SHLQ $4, AX; PREFETCHT0 0(DI)(AX*1); PREFETCHT0 64(DI)(AX*1); \
	LEAQ (R12)(AX*1), R13; LEAQ SCALES(SI), CX; MOVQ DX, AX

// WIDENSCALES widens those of 32 elements, one of each vector.
#define WIDENSCALES \
	VCVTPH2PS 0(R13), Z16; VMOVUPS Z16, 0(CX); ADDQ $32, R13; ADDQ $64, CX; SUBQ $32, AX

// WIDEN leaves sixteen elements times their scale in Z.
#define WIDEN(at, scale, Z) VPMOVSXBD at, Z; VCVTDQ2PS Z, Z; VMULPS scale, Z, Z

// func attendScoresQ8AVX512(a *attend)
TEXT ·attendScoresQ8AVX512(SB), NOSPLIT, $0-8
	MOVQ a+0(FP), SI
	MOVQ (QUERY+0)(SI), R8
	MOVQ (QUERY+8)(SI), R9
	MOVQ (QUERY+16)(SI), R10
	MOVQ (QUERY+24)(SI), R11
	MOVQ DIM(SI), DX              // elements of a key, and bytes
	VBROADCASTSS SCALE(SI), Z31
	XORL BX, BX                   // position

block:
	BEGIN

scales:
	WIDENSCALES
	JNZ scales

keys:
	LEAQ (R12)(DX*1), R13
	LEAQ (R12)(DX*2), R14
	LEAQ (R13)(DX*2), R15
	MOVQ BX, CX
	ANDQ $15, CX
	LEAQ SCALES(SI)(CX*4), CX     // the first key's scales are 64 bytes apart
	CLEAR
	XORL AX, AX

elements:
	PREFETCHT0 0(DI)(AX*4)        // 32 bytes of four keys are two lines
	PREFETCHT0 64(DI)(AX*4)
	VBROADCASTSS 0(CX), Z24
	VBROADCASTSS 4(CX), Z25
	VBROADCASTSS 8(CX), Z26
	VBROADCASTSS 12(CX), Z27
	WIDEN((R12)(AX*1), Z24, Z16)
	WIDEN((R13)(AX*1), Z25, Z17)
	WIDEN((R14)(AX*1), Z26, Z18)
	WIDEN((R15)(AX*1), Z27, Z19)
	VMOVUPS 0(R8)(AX*4), Z20
	VMOVUPS 0(R9)(AX*4), Z21
	VMOVUPS 0(R10)(AX*4), Z22
	VMOVUPS 0(R11)(AX*4), Z23
	MULTIPLY
	WIDEN(16(R12)(AX*1), Z24, Z16)
	WIDEN(16(R13)(AX*1), Z25, Z17)
	WIDEN(16(R14)(AX*1), Z26, Z18)
	WIDEN(16(R15)(AX*1), Z27, Z19)
	VMOVUPS 64(R8)(AX*4), Z20
	VMOVUPS 64(R9)(AX*4), Z21
	VMOVUPS 64(R10)(AX*4), Z22
	VMOVUPS 64(R11)(AX*4), Z23
	MULTIPLY
	ADDQ $64, CX
	ADDQ $32, AX
	CMPQ AX, DX
	JNE  elements

	SUMS
	LEAQ  (R12)(DX*4), R12
	LEAQ  (DI)(DX*4), DI
	ADDQ  $4, BX
	TESTQ $15, BX
	JNZ   keys
	CMPQ  BX, COUNT(SI)
	JLT   block
	VZEROUPPER
	RET

// func attendValuesQ8AVX512(a *attend)
//
// 64 elements of four heads at a time, then 16.
TEXT ·attendValuesQ8AVX512(SB), NOSPLIT, $0-8
	MOVQ a+0(FP), SI
	MOVQ (SCORES+0)(SI), R8
	MOVQ (SCORES+8)(SI), R9
	MOVQ (SCORES+16)(SI), R10
	MOVQ (SCORES+24)(SI), R11
	MOVQ DIM(SI), DX
	XORL BX, BX       // position of the block

block:
	BEGIN

scales:
	WIDENSCALES
	JNZ scales
	MOVQ DI, CX
	SUBQ R12, CX       // from here to what is fetched ahead
	MOVQ COUNT(SI), DI // the block's end
	LEAQ 16(BX), R13
	CMPQ DI, R13
	CMOVQGT R13, DI
	XORL AX, AX        // element

wide:
	LEAQ 64(AX), R13
	CMPQ R13, DX
	JGT  narrow
	LOADOUTS(4)
	LEAQ SCALES(SI)(AX*2), R14 // 64 bytes for 32 elements
	LEAQ (R12)(AX*1), R15
	MOVQ BX, R13

wideloop:
	PREFETCHT0 0(R15)(CX*1)
	VBROADCASTSS 0(R14), Z24
	VBROADCASTSS 64(R14), Z25
	WIDEN(0(R15), Z24, Z16)
	WIDEN(16(R15), Z24, Z17)
	WIDEN(32(R15), Z25, Z18)
	WIDEN(48(R15), Z25, Z19)
	HEADS
	ADDQ DX, R15
	ADDQ $4, R14
	INCQ R13
	CMPQ R13, DI
	JLT  wideloop
	STOREOUTS(4)
	ADDQ $64, AX
	JMP  wide

narrow:
	CMPQ AX, DX
	JGE  next
	LOADNARROW(4)
	LEAQ (R12)(AX*1), R15
	MOVQ AX, R14
	ANDQ $-32, R14
	LEAQ SCALES(SI)(R14*2), R14
	MOVQ BX, R13

narrowloop:
	PREFETCHT0 0(R15)(CX*1)
	VBROADCASTSS 0(R14), Z24
	WIDEN(0(R15), Z24, Z16)
	NARROW
	ADDQ DX, R15
	ADDQ $4, R14
	INCQ R13
	CMPQ R13, DI
	JLT  narrowloop
	STORENARROW(4)
	ADDQ $16, AX
	JMP  narrow

next:
	ADDQ $16, BX
	CMPQ BX, COUNT(SI)
	JLT  block
	VZEROUPPER
	RET
