#include "textflag.h"
#include "attention_amd64.h"

// The kernels of this file read a cache of binary16 as it lies. They add in the order of those for widened vectors, so that
// the results are the same, bit for bit.

// CACHED leaves in R12 the address of the block of position BX, and in DI that of the one to be fetched ahead.
#define CACHED \
	MOVQ BLOCKS(SI), R12; MOVQ BX, AX; SHRQ $4, AX; MOVLQSX (R12)(AX*4), R12; IMULQ STRIDE(SI), R12; ADDQ BASE(SI), R12; \
	NEXTBLOCK

// KEYS adds eight elements of two keys, at R12 and R13, times one head's query at Q to the head's sums.
#define KEYS(Q, A, B) VMOVUPS (Q)(AX*2), Y10; VFMADD231PS Y8, Y10, A; VFMADD231PS Y9, Y10, B

// func attendScoresF16AVX2(a *attend)
//
// Two keys × four heads at a time: eight sums.
TEXT ·attendScoresF16AVX2(SB), NOSPLIT, $0-8
	MOVQ a+0(FP), SI
	MOVQ (QUERY+0)(SI), R8
	MOVQ (QUERY+8)(SI), R9
	MOVQ (QUERY+16)(SI), R10
	MOVQ (QUERY+24)(SI), R11
	MOVQ DIM(SI), DX
	ADDQ DX, DX                   // bytes of a key
	VBROADCASTSS SCALE(SI), X15
	XORL BX, BX                   // position

block:
	CACHED

keys:
	LEAQ (R12)(DX*1), R13
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	VXORPS Y2, Y2, Y2
	VXORPS Y3, Y3, Y3
	VXORPS Y4, Y4, Y4
	VXORPS Y5, Y5, Y5
	VXORPS Y6, Y6, Y6
	VXORPS Y7, Y7, Y7
	XORL AX, AX

elements:
	PREFETCHT0 (DI)(AX*2)         // 32 bytes of two keys are a line
	VCVTPH2PS 0(R12)(AX*1), Y8
	VCVTPH2PS 0(R13)(AX*1), Y9
	KEYS(R8, Y0, Y1)
	KEYS(R9, Y2, Y3)
	KEYS(R10, Y4, Y5)
	KEYS(R11, Y6, Y7)
	ADDQ $16, AX
	VCVTPH2PS 0(R12)(AX*1), Y8
	VCVTPH2PS 0(R13)(AX*1), Y9
	KEYS(R8, Y0, Y1)
	KEYS(R9, Y2, Y3)
	KEYS(R10, Y4, Y5)
	KEYS(R11, Y6, Y7)
	ADDQ $16, AX
	CMPQ AX, DX
	JNE  elements

	// Sums within halves, then of both halves: two keys of heads 0 and 1, and of heads 2 and 3.
	VHADDPS Y1, Y0, Y0
	VHADDPS Y3, Y2, Y2
	VHADDPS Y2, Y0, Y0
	VHADDPS Y5, Y4, Y4
	VHADDPS Y7, Y6, Y6
	VHADDPS Y6, Y4, Y4
	VEXTRACTF128 $1, Y0, X1
	VEXTRACTF128 $1, Y4, X5
	VADDPS X1, X0, X0
	VADDPS X5, X4, X4
	VMULPS X15, X0, X0
	VMULPS X15, X4, X4
	MOVQ (SCORES+0)(SI), AX
	VMOVLPS X0, (AX)(BX*4)
	MOVQ (SCORES+8)(SI), AX
	VMOVHPS X0, (AX)(BX*4)
	MOVQ (SCORES+16)(SI), AX
	VMOVLPS X4, (AX)(BX*4)
	MOVQ (SCORES+24)(SI), AX
	VMOVHPS X4, (AX)(BX*4)
	LEAQ (R12)(DX*2), R12
	LEAQ (DI)(DX*2), DI
	ADDQ $2, BX
	TESTQ $15, BX
	JNZ  keys
	CMPQ BX, COUNT(SI)
	JLT  block
	VZEROUPPER
	RET

#define WEIGHT(W, A, B) \
	VBROADCASTSS (W)(R13*4), Y10; VFMADD231PS Y8, Y10, A; VFMADD231PS Y9, Y10, B

#define LOADOUT4(i, A, B) \
	MOVQ (OUT+8*i)(SI), R14; VMOVUPS 0(R14)(AX*2), A; VMOVUPS 32(R14)(AX*2), B

#define STOREOUT4(i, A, B) \
	MOVQ (OUT+8*i)(SI), R14; VMOVUPS A, 0(R14)(AX*2); VMOVUPS B, 32(R14)(AX*2)

// func attendValuesF16AVX2(a *attend)
//
// Block by block, 16 elements of four heads at a time: eight sums.
TEXT ·attendValuesF16AVX2(SB), NOSPLIT, $0-8
	MOVQ a+0(FP), SI
	MOVQ (SCORES+0)(SI), R8
	MOVQ (SCORES+8)(SI), R9
	MOVQ (SCORES+16)(SI), R10
	MOVQ (SCORES+24)(SI), R11
	MOVQ DIM(SI), DX
	ADDQ DX, DX       // bytes of a value
	XORL BX, BX       // position of the block

block:
	CACHED
	MOVQ DI, CX
	SUBQ R12, CX       // from here to what is fetched ahead
	MOVQ COUNT(SI), DI // the block's end
	LEAQ 16(BX), R13
	CMPQ DI, R13
	CMOVQGT R13, DI
	XORL AX, AX        // byte of the value

elements:
	LOADOUT4(0, Y0, Y1)
	LOADOUT4(1, Y2, Y3)
	LOADOUT4(2, Y4, Y5)
	LOADOUT4(3, Y6, Y7)
	LEAQ (R12)(AX*1), R15
	MOVQ BX, R13

positions:
	PREFETCHT0 (R15)(CX*1)
	VCVTPH2PS 0(R15), Y8
	VCVTPH2PS 16(R15), Y9
	WEIGHT(R8, Y0, Y1)
	WEIGHT(R9, Y2, Y3)
	WEIGHT(R10, Y4, Y5)
	WEIGHT(R11, Y6, Y7)
	ADDQ DX, R15
	INCQ R13
	CMPQ R13, DI
	JLT  positions
	STOREOUT4(0, Y0, Y1)
	STOREOUT4(1, Y2, Y3)
	STOREOUT4(2, Y4, Y5)
	STOREOUT4(3, Y6, Y7)
	ADDQ $32, AX
	CMPQ AX, DX
	JNE  elements
	ADDQ $16, BX
	CMPQ BX, COUNT(SI)
	JLT  block
	VZEROUPPER
	RET
