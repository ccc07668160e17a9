#include "textflag.h"
#include "attention_amd64.h"

// The kernels of this file multiply keys of sixteen positions that lie element by element: sixteen numbers of element 0, then
// of element 1. A vector is then sixteen positions' scores, and none has to be added up across. They add in the order of the
// kernels for keys that lie one after the other, so that the results are the same, bit for bit: those keep a sum of the
// elements 0, 16, 32 …, another of 1, 17, 33 …, and then add these sums, the LANES of a vector there, in a fixed order.

// func turnAVX2(dst, src *float32, dim int64)
//
// Turns sixteen vectors of dim elements, a multiple of 4, into dim vectors of sixteen. Four elements of eight at a time.
TEXT ·turnAVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ dim+16(FP), DX
	SHLQ $2, DX                   // bytes of a vector
	LEAQ (DX)(DX*2), R8
	MOVL $2, CX

eight:
	LEAQ (SI)(DX*4), R9
	MOVQ DI, BX
	XORL AX, AX

elements:
	VMOVUPS (SI), X0
	VMOVUPS (SI)(DX*1), X1
	VMOVUPS (SI)(DX*2), X2
	VMOVUPS (SI)(R8*1), X3
	VINSERTF128 $1, (R9), Y0, Y0
	VINSERTF128 $1, (R9)(DX*1), Y1, Y1
	VINSERTF128 $1, (R9)(DX*2), Y2, Y2
	VINSERTF128 $1, (R9)(R8*1), Y3, Y3
	VUNPCKLPS Y1, Y0, Y4
	VUNPCKHPS Y1, Y0, Y5
	VUNPCKLPS Y3, Y2, Y6
	VUNPCKHPS Y3, Y2, Y7
	VUNPCKLPD Y6, Y4, Y0
	VUNPCKHPD Y6, Y4, Y1
	VUNPCKLPD Y7, Y5, Y2
	VUNPCKHPD Y7, Y5, Y3
	VMOVUPS Y0, 0(BX)
	VMOVUPS Y1, 64(BX)
	VMOVUPS Y2, 128(BX)
	VMOVUPS Y3, 192(BX)
	ADDQ $16, SI
	ADDQ $16, R9
	ADDQ $256, BX
	ADDQ $16, AX
	CMPQ AX, DX
	JLT  elements
	LEAQ (SI)(R8*2), SI           // it is at the second of eight vectors, and goes on at the ninth
	ADDQ DX, SI
	ADDQ $32, DI
	DECL CX
	JNZ  eight
	VZEROUPPER
	RET

// LANES adds up the elements l, l+16 … in Z16 … Z19, one of four heads each, and the elements m, m+16 … in Z20 … Z23.
#define LANES(l, m, loop) \
	VPXORD Z16, Z16, Z16; VPXORD Z17, Z17, Z17; VPXORD Z18, Z18, Z18; VPXORD Z19, Z19, Z19; \
	VPXORD Z20, Z20, Z20; VPXORD Z21, Z21, Z21; VPXORD Z22, Z22, Z22; VPXORD Z23, Z23, Z23; \
	XORL AX, AX; MOVQ R12, BX; \
loop: \
	VMOVUPS (64*l)(BX), Z24; \
	VFMADD231PS.BCST (4*l)(R8)(AX*1), Z24, Z16; VFMADD231PS.BCST (4*l)(R9)(AX*1), Z24, Z17; \
	VFMADD231PS.BCST (4*l)(R10)(AX*1), Z24, Z18; VFMADD231PS.BCST (4*l)(R11)(AX*1), Z24, Z19; \
	VMOVUPS (64*m)(BX), Z25; \
	VFMADD231PS.BCST (4*m)(R8)(AX*1), Z25, Z20; VFMADD231PS.BCST (4*m)(R9)(AX*1), Z25, Z21; \
	VFMADD231PS.BCST (4*m)(R10)(AX*1), Z25, Z22; VFMADD231PS.BCST (4*m)(R11)(AX*1), Z25, Z23; \
	ADDQ $1024, BX; ADDQ $64, AX; CMPQ AX, DX; JLT loop

// BOTH leaves the two lanes' sums in A … D.
#define BOTH(A, B, C, D) \
	VADDPS Z20, Z16, A; VADDPS Z21, Z17, B; VADDPS Z22, Z18, C; VADDPS Z23, Z19, D

// ADDBOTH adds them to A … D.
#define ADDBOTH(A, B, C, D) \
	BOTH(Z16, Z17, Z18, Z19); VADDPS Z16, A, A; VADDPS Z17, B, B; VADDPS Z18, C, C; VADDPS Z19, D, D

// STORESCORES stores sixteen scores of head i.
#define STORESCORES(i, A) VMULPS Z31, A, A; MOVQ (SCORES+8*i)(SI), AX; VMOVUPS A, (AX)(CX*4)

// func attendScoresTurnedAVX512(a *attend)
//
// Sixteen positions × four heads at a time, two lanes: eight sums, for which a number of each head's query is broadcast.
TEXT ·attendScoresTurnedAVX512(SB), NOSPLIT, $0-8
	MOVQ a+0(FP), SI
	MOVQ (QUERY+0)(SI), R8
	MOVQ (QUERY+8)(SI), R9
	MOVQ (QUERY+16)(SI), R10
	MOVQ (QUERY+24)(SI), R11
	MOVQ DIM(SI), DX
	SHLQ $2, DX                   // bytes of a query
	MOVQ DX, DI
	SHLQ $4, DI                   // bytes of sixteen keys
	VBROADCASTSS SCALE(SI), Z31
	MOVQ BASE(SI), R12
	XORL CX, CX                   // position

block:
	LANES(0, 2, lanes0)
	BOTH(Z0, Z1, Z2, Z3)
	LANES(1, 3, lanes1)
	ADDBOTH(Z0, Z1, Z2, Z3)
	LANES(4, 6, lanes4)
	BOTH(Z4, Z5, Z6, Z7)
	LANES(5, 7, lanes5)
	ADDBOTH(Z4, Z5, Z6, Z7)
	VADDPS Z4, Z0, Z0
	VADDPS Z5, Z1, Z1
	VADDPS Z6, Z2, Z2
	VADDPS Z7, Z3, Z3
	LANES(8, 10, lanes8)
	BOTH(Z4, Z5, Z6, Z7)
	LANES(9, 11, lanes9)
	ADDBOTH(Z4, Z5, Z6, Z7)
	LANES(12, 14, lanes12)
	BOTH(Z8, Z9, Z10, Z11)
	LANES(13, 15, lanes13)
	ADDBOTH(Z8, Z9, Z10, Z11)
	VADDPS Z8, Z4, Z4
	VADDPS Z9, Z5, Z5
	VADDPS Z10, Z6, Z6
	VADDPS Z11, Z7, Z7
	VADDPS Z4, Z0, Z0
	VADDPS Z5, Z1, Z1
	VADDPS Z6, Z2, Z2
	VADDPS Z7, Z3, Z3
	STORESCORES(0, Z0)
	STORESCORES(1, Z1)
	STORESCORES(2, Z2)
	STORESCORES(3, Z3)
	ADDQ DI, R12
	ADDQ $16, CX
	CMPQ CX, COUNT(SI)
	JLT  block
	VZEROUPPER
	RET

// LANE adds up the elements l, l+8 … of sixteen positions in Y0 and Y1 for the first head, up to Y6 and Y7 for the fourth.
#define LANE(l, loop) \
	VXORPS Y0, Y0, Y0; VXORPS Y1, Y1, Y1; VXORPS Y2, Y2, Y2; VXORPS Y3, Y3, Y3; \
	VXORPS Y4, Y4, Y4; VXORPS Y5, Y5, Y5; VXORPS Y6, Y6, Y6; VXORPS Y7, Y7, Y7; \
	XORL AX, AX; MOVQ R12, BX; \
loop: \
	VMOVUPS (64*l)(BX), Y8; VMOVUPS (64*l+32)(BX), Y9; \
	VBROADCASTSS (4*l)(R8)(AX*1), Y10; VFMADD231PS Y8, Y10, Y0; VFMADD231PS Y9, Y10, Y1; \
	VBROADCASTSS (4*l)(R9)(AX*1), Y11; VFMADD231PS Y8, Y11, Y2; VFMADD231PS Y9, Y11, Y3; \
	VBROADCASTSS (4*l)(R10)(AX*1), Y12; VFMADD231PS Y8, Y12, Y4; VFMADD231PS Y9, Y12, Y5; \
	VBROADCASTSS (4*l)(R11)(AX*1), Y13; VFMADD231PS Y8, Y13, Y6; VFMADD231PS Y9, Y13, Y7; \
	ADDQ $512, BX; ADDQ $32, AX; CMPQ AX, DX; JLT loop

// KEEP stores the sums, ADDKEPT adds the stored ones. There is room for sums in three places.
#define KEEP(i) \
	VMOVUPS Y0, (SCALES+256*i)(SI); VMOVUPS Y1, (SCALES+256*i+32)(SI); \
	VMOVUPS Y2, (SCALES+256*i+64)(SI); VMOVUPS Y3, (SCALES+256*i+96)(SI); \
	VMOVUPS Y4, (SCALES+256*i+128)(SI); VMOVUPS Y5, (SCALES+256*i+160)(SI); \
	VMOVUPS Y6, (SCALES+256*i+192)(SI); VMOVUPS Y7, (SCALES+256*i+224)(SI)

#define ADDKEPT(i) \
	VADDPS (SCALES+256*i)(SI), Y0, Y0; VADDPS (SCALES+256*i+32)(SI), Y1, Y1; \
	VADDPS (SCALES+256*i+64)(SI), Y2, Y2; VADDPS (SCALES+256*i+96)(SI), Y3, Y3; \
	VADDPS (SCALES+256*i+128)(SI), Y4, Y4; VADDPS (SCALES+256*i+160)(SI), Y5, Y5; \
	VADDPS (SCALES+256*i+192)(SI), Y6, Y6; VADDPS (SCALES+256*i+224)(SI), Y7, Y7

#define STORESCORES2(i, A, B) \
	VMULPS Y15, A, A; VMULPS Y15, B, B; MOVQ (SCORES+8*i)(SI), AX; VMOVUPS A, (AX)(CX*4); VMOVUPS B, 32(AX)(CX*4)

// func attendScoresTurnedAVX2(a *attend)
//
// Sixteen positions × four heads at a time, one lane: eight sums.
TEXT ·attendScoresTurnedAVX2(SB), NOSPLIT, $0-8
	MOVQ a+0(FP), SI
	MOVQ (QUERY+0)(SI), R8
	MOVQ (QUERY+8)(SI), R9
	MOVQ (QUERY+16)(SI), R10
	MOVQ (QUERY+24)(SI), R11
	MOVQ DIM(SI), DX
	SHLQ $2, DX                   // bytes of a query
	MOVQ DX, DI
	SHLQ $4, DI                   // bytes of sixteen keys
	VBROADCASTSS SCALE(SI), Y15
	MOVQ BASE(SI), R12
	XORL CX, CX                   // position

block:
	LANE(0, lane0)
	KEEP(0)
	LANE(1, lane1)
	ADDKEPT(0)
	KEEP(0)
	LANE(2, lane2)
	KEEP(1)
	LANE(3, lane3)
	ADDKEPT(1)
	ADDKEPT(0)
	KEEP(0)
	LANE(4, lane4)
	KEEP(1)
	LANE(5, lane5)
	ADDKEPT(1)
	KEEP(1)
	LANE(6, lane6)
	KEEP(2)
	LANE(7, lane7)
	ADDKEPT(2)
	ADDKEPT(1)
	ADDKEPT(0)
	STORESCORES2(0, Y0, Y1)
	STORESCORES2(1, Y2, Y3)
	STORESCORES2(2, Y4, Y5)
	STORESCORES2(3, Y6, Y7)
	ADDQ DI, R12
	ADDQ $16, CX
	CMPQ CX, COUNT(SI)
	JLT  block
	VZEROUPPER
	RET
