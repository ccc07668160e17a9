#include "textflag.h"
#include "attention_amd64.h"

// func attendScoresF16AVX512(a *attend)
//
// Four keys × four heads at a time: sixteen sums, for which sixteen elements of each key and query are loaded, two
// multiplications a load. Keys of a block follow each other in memory.
TEXT ·attendScoresF16AVX512(SB), NOSPLIT, $0-8
	MOVQ a+0(FP), SI
	MOVQ (QUERY+0)(SI), R8
	MOVQ (QUERY+8)(SI), R9
	MOVQ (QUERY+16)(SI), R10
	MOVQ (QUERY+24)(SI), R11
	MOVQ DIM(SI), DX
	ADDQ DX, DX                   // bytes of a key
	VBROADCASTSS SCALE(SI), Z31
	XORL BX, BX                   // position

block:
	MOVQ BLOCKS(SI), R12
	MOVQ BX, AX
	SHRQ $4, AX
	MOVLQSX (R12)(AX*4), R12
	IMULQ STRIDE(SI), R12
	ADDQ BASE(SI), R12
	NEXTBLOCK

keys:
	LEAQ (R12)(DX*1), R13
	LEAQ (R12)(DX*2), R14
	LEAQ (R13)(DX*2), R15
	CLEAR
	XORL AX, AX

elements:
	PREFETCHT0 0(DI)(AX*4) // 32 bytes of four keys are two lines
	PREFETCHT0 64(DI)(AX*4)
	VCVTPH2PS (R12)(AX*1), Z16
	VCVTPH2PS (R13)(AX*1), Z17
	VCVTPH2PS (R14)(AX*1), Z18
	VCVTPH2PS (R15)(AX*1), Z19
	VMOVUPS (R8)(AX*2), Z20
	VMOVUPS (R9)(AX*2), Z21
	VMOVUPS (R10)(AX*2), Z22
	VMOVUPS (R11)(AX*2), Z23
	MULTIPLY
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

// func attendScoresF32AVX512(a *attend)
//
// The same of widened keys, which all follow each other. Up to three more than n are read, and scores written for them.
TEXT ·attendScoresF32AVX512(SB), NOSPLIT, $0-8
	MOVQ a+0(FP), SI
	MOVQ (QUERY+0)(SI), R8
	MOVQ (QUERY+8)(SI), R9
	MOVQ (QUERY+16)(SI), R10
	MOVQ (QUERY+24)(SI), R11
	MOVQ DIM(SI), DX
	SHLQ $2, DX                   // bytes of a key
	VBROADCASTSS SCALE(SI), Z31
	MOVQ BASE(SI), R12
	XORL BX, BX                   // position

keys:
	LEAQ (R12)(DX*1), R13
	LEAQ (R12)(DX*2), R14
	LEAQ (R13)(DX*2), R15
	CLEAR
	XORL AX, AX

elements:
	VMOVUPS (R12)(AX*1), Z16
	VMOVUPS (R13)(AX*1), Z17
	VMOVUPS (R14)(AX*1), Z18
	VMOVUPS (R15)(AX*1), Z19
	VMOVUPS (R8)(AX*1), Z20
	VMOVUPS (R9)(AX*1), Z21
	VMOVUPS (R10)(AX*1), Z22
	VMOVUPS (R11)(AX*1), Z23
	MULTIPLY
	ADDQ $64, AX
	CMPQ AX, DX
	JNE  elements

	SUMS
	LEAQ (R12)(DX*4), R12
	ADDQ $4, BX
	CMPQ BX, COUNT(SI)
	JLT  keys
	VZEROUPPER
	RET

// func attendValuesF16AVX512(a *attend)
//
// Adds weights times values to out, block by block: 64 elements of four heads are sixteen sums, for which a value's four
// vectors and four weights are loaded, two multiplications a load. The rest of a head goes 16 elements at a time.
TEXT ·attendValuesF16AVX512(SB), NOSPLIT, $0-8
	MOVQ a+0(FP), SI
	MOVQ (SCORES+0)(SI), R8
	MOVQ (SCORES+8)(SI), R9
	MOVQ (SCORES+16)(SI), R10
	MOVQ (SCORES+24)(SI), R11
	MOVQ DIM(SI), DX
	ADDQ DX, DX       // bytes of a value
	XORL BX, BX       // position of the block

block:
	MOVQ BLOCKS(SI), R12
	MOVQ BX, AX
	SHRQ $4, AX
	MOVLQSX (R12)(AX*4), R12
	IMULQ STRIDE(SI), R12
	ADDQ BASE(SI), R12
	NEXTBLOCK
	MOVQ DI, CX
	SUBQ R12, CX       // from here to there
	MOVQ COUNT(SI), DI // the block's end
	LEAQ 16(BX), R13
	CMPQ DI, R13
	CMOVQGT R13, DI
	XORL AX, AX       // byte of the value

wide:
	LEAQ 128(AX), R13
	CMPQ R13, DX
	JGT  narrow
	LOADOUTS(2)
	LEAQ (R12)(AX*1), R15
	MOVQ BX, R13

wideloop:
	PREFETCHT0 0(R15)(CX*1)
	PREFETCHT0 64(R15)(CX*1)
	VCVTPH2PS 0(R15), Z16
	VCVTPH2PS 32(R15), Z17
	VCVTPH2PS 64(R15), Z18
	VCVTPH2PS 96(R15), Z19
	HEADS
	ADDQ DX, R15
	INCQ R13
	CMPQ R13, DI
	JLT  wideloop
	STOREOUTS(2)
	ADDQ $128, AX
	JMP  wide

narrow:
	CMPQ AX, DX
	JGE  next
	LOADNARROW(2)
	LEAQ (R12)(AX*1), R15
	MOVQ BX, R13

narrowloop:
	PREFETCHT0 0(R15)(CX*1)
	VCVTPH2PS 0(R15), Z16
	NARROW
	ADDQ DX, R15
	INCQ R13
	CMPQ R13, DI
	JLT  narrowloop
	STORENARROW(2)
	ADDQ $32, AX
	JMP  narrow

next:
	ADDQ $16, BX
	CMPQ BX, COUNT(SI)
	JLT  block
	VZEROUPPER
	RET

// func attendValuesF32AVX512(a *attend)
//
// The same of widened values, which all follow each other.
TEXT ·attendValuesF32AVX512(SB), NOSPLIT, $0-8
	MOVQ a+0(FP), SI
	MOVQ (SCORES+0)(SI), R8
	MOVQ (SCORES+8)(SI), R9
	MOVQ (SCORES+16)(SI), R10
	MOVQ (SCORES+24)(SI), R11
	MOVQ DIM(SI), DX
	SHLQ $2, DX       // bytes of a value
	MOVQ BASE(SI), R12
	MOVQ COUNT(SI), DI
	XORL AX, AX       // byte of the value

wide:
	LEAQ 256(AX), R13
	CMPQ R13, DX
	JGT  narrow
	LOADOUTS(1)
	LEAQ (R12)(AX*1), R15
	XORL R13, R13

wideloop:
	VMOVUPS 0(R15), Z16
	VMOVUPS 64(R15), Z17
	VMOVUPS 128(R15), Z18
	VMOVUPS 192(R15), Z19
	HEADS
	ADDQ DX, R15
	INCQ R13
	CMPQ R13, DI
	JLT  wideloop
	STOREOUTS(1)
	ADDQ $256, AX
	JMP  wide

narrow:
	CMPQ AX, DX
	JGE  done
	LOADNARROW(1)
	LEAQ (R12)(AX*1), R15
	XORL R13, R13

narrowloop:
	VMOVUPS 0(R15), Z16
	NARROW
	ADDQ DX, R15
	INCQ R13
	CMPQ R13, DI
	JLT  narrowloop
	STORENARROW(1)
	ADDQ $64, AX
	JMP  narrow

done:
	VZEROUPPER
	RET
