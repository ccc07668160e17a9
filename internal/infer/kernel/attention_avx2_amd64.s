#include "textflag.h"
#include "attention_amd64.h"

// func attendScoresF32AVX2(a *attend)
//
// Four widened keys × two heads at a time: eight sums, for which eight elements of each key and query are loaded. Up to
// three keys more than n are read, and scores written for them.
TEXT ·attendScoresF32AVX2(SB), NOSPLIT, $0-8
	MOVQ a+0(FP), SI
	MOVQ DIM(SI), DX
	SHLQ $2, DX                   // bytes of a key
	VBROADCASTSS SCALE(SI), Y15
	XORL CX, CX                   // 8 × the first of the two heads

heads:
	MOVQ QUERY(SI)(CX*1), R8
	MOVQ (QUERY+8)(SI)(CX*1), R9
	MOVQ SCORES(SI)(CX*1), R10
	MOVQ (SCORES+8)(SI)(CX*1), R11
	MOVQ BASE(SI), R12
	XORL BX, BX                   // position

keys:
	LEAQ (R12)(DX*1), R13
	LEAQ (R12)(DX*2), R14
	LEAQ (R13)(DX*2), R15
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
	VMOVUPS (R8)(AX*1), Y8
	VMOVUPS (R9)(AX*1), Y9
	VMOVUPS (R12)(AX*1), Y10
	VMOVUPS (R13)(AX*1), Y11
	VMOVUPS (R14)(AX*1), Y12
	VMOVUPS (R15)(AX*1), Y13
	VFMADD231PS Y10, Y8, Y0
	VFMADD231PS Y11, Y8, Y1
	VFMADD231PS Y12, Y8, Y2
	VFMADD231PS Y13, Y8, Y3
	VFMADD231PS Y10, Y9, Y4
	VFMADD231PS Y11, Y9, Y5
	VFMADD231PS Y12, Y9, Y6
	VFMADD231PS Y13, Y9, Y7
	ADDQ $32, AX
	CMPQ AX, DX
	JNE  elements

	// The sums of four vectors within their halves, then both halves.
	VHADDPS Y1, Y0, Y0
	VHADDPS Y3, Y2, Y2
	VHADDPS Y2, Y0, Y0
	VHADDPS Y5, Y4, Y4
	VHADDPS Y7, Y6, Y6
	VHADDPS Y6, Y4, Y4
	VPERM2F128 $0x20, Y4, Y0, Y1
	VPERM2F128 $0x31, Y4, Y0, Y2
	VADDPS Y2, Y1, Y0
	VMULPS Y15, Y0, Y0
	VMOVUPS X0, (R10)(BX*4)
	VEXTRACTF128 $1, Y0, (R11)(BX*4)
	LEAQ (R12)(DX*4), R12
	ADDQ $4, BX
	CMPQ BX, COUNT(SI)
	JLT  keys
	ADDQ $16, CX
	CMPQ CX, $32
	JNE  heads
	VZEROUPPER
	RET

#define HEAD2(W, A, B) \
	VBROADCASTSS (W)(R13*4), Y10; VFMADD231PS Y8, Y10, A; VFMADD231PS Y9, Y10, B

#define LOADOUT2(i, A, B) \
	MOVQ (OUT+8*i)(SI), R14; VMOVUPS 0(R14)(AX*1), A; VMOVUPS 32(R14)(AX*1), B

#define STOREOUT2(i, A, B) \
	MOVQ (OUT+8*i)(SI), R14; VMOVUPS A, 0(R14)(AX*1); VMOVUPS B, 32(R14)(AX*1)

// func attendValuesF32AVX2(a *attend)
//
// Adds weights times widened values to out: 16 elements of four heads are eight sums, for which a value's two vectors
// and four weights are loaded. dim is a multiple of 16.
TEXT ·attendValuesF32AVX2(SB), NOSPLIT, $0-8
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

elements:
	LOADOUT2(0, Y0, Y1)
	LOADOUT2(1, Y2, Y3)
	LOADOUT2(2, Y4, Y5)
	LOADOUT2(3, Y6, Y7)
	LEAQ (R12)(AX*1), R15
	XORL R13, R13

positions:
	VMOVUPS 0(R15), Y8
	VMOVUPS 32(R15), Y9
	HEAD2(R8, Y0, Y1)
	HEAD2(R9, Y2, Y3)
	HEAD2(R10, Y4, Y5)
	HEAD2(R11, Y6, Y7)
	ADDQ DX, R15
	INCQ R13
	CMPQ R13, DI
	JLT  positions
	STOREOUT2(0, Y0, Y1)
	STOREOUT2(1, Y2, Y3)
	STOREOUT2(2, Y4, Y5)
	STOREOUT2(3, Y6, Y7)
	ADDQ $64, AX
	CMPQ AX, DX
	JNE  elements
	VZEROUPPER
	RET
