#include "textflag.h"

// The functions of this file take whole vectors of eight; their callers do what is left over.

// func dotAVX2(a, b *float32, n int64) float32
TEXT ·dotAVX2(SB), NOSPLIT, $0-28
	MOVQ a+0(FP), SI
	MOVQ b+8(FP), DI
	MOVQ n+16(FP), DX
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	VXORPS Y2, Y2, Y2
	VXORPS Y3, Y3, Y3
	SUBQ $32, DX
	JLT  rest
loop:
	VMOVUPS 0(SI), Y4
	VMOVUPS 32(SI), Y5
	VMOVUPS 64(SI), Y6
	VMOVUPS 96(SI), Y7
	VFMADD231PS 0(DI), Y4, Y0
	VFMADD231PS 32(DI), Y5, Y1
	VFMADD231PS 64(DI), Y6, Y2
	VFMADD231PS 96(DI), Y7, Y3
	ADDQ $128, SI
	ADDQ $128, DI
	SUBQ $32, DX
	JGE  loop
rest:
	ADDQ $24, DX
	JLT  add
vector:
	VMOVUPS 0(SI), Y4
	VFMADD231PS 0(DI), Y4, Y0
	ADDQ $32, SI
	ADDQ $32, DI
	SUBQ $8, DX
	JGE  vector
add:
	VADDPS Y1, Y0, Y0
	VADDPS Y3, Y2, Y2
	VADDPS Y2, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VADDPS X1, X0, X0
	VPSHUFD $0x4e, X0, X1
	VADDPS X1, X0, X0
	VPSHUFD $0xb1, X0, X1
	VADDSS X1, X0, X0
	VMOVSS X0, ret+24(FP)
	VZEROUPPER
	RET

// func addScaledAVX2(dst, x *float32, n int64, factor float32)
TEXT ·addScaledAVX2(SB), NOSPLIT, $0-28
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), DX
	VBROADCASTSS factor+24(FP), Y0
loop:
	VMOVUPS 0(DI), Y1
	VFMADD231PS 0(SI), Y0, Y1
	VMOVUPS Y1, 0(DI)
	ADDQ $32, SI
	ADDQ $32, DI
	SUBQ $8, DX
	JG   loop
	VZEROUPPER
	RET

// func fromF16AVX2(dst *float32, x *uint16, n int64)
TEXT ·fromF16AVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), DX
loop:
	VCVTPH2PS 0(SI), Y0
	VMOVUPS Y0, 0(DI)
	ADDQ $16, SI
	ADDQ $32, DI
	SUBQ $8, DX
	JG   loop
	VZEROUPPER
	RET

// func toF16AVX2(dst *byte, x *float32, n int64)
TEXT ·toF16AVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), DX
loop:
	VMOVUPS 0(SI), Y0
	VCVTPS2PH $0, Y0, 0(DI) // 0: ties to even
	ADDQ $32, SI
	ADDQ $16, DI
	SUBQ $8, DX
	JG   loop
	VZEROUPPER
	RET

// func scaleByAVX2(dst, x, w *float32, n int64, factor float32)
TEXT ·scaleByAVX2(SB), NOSPLIT, $0-36
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ w+16(FP), BX
	MOVQ n+24(FP), DX
	VBROADCASTSS factor+32(FP), Y0
loop:
	VMULPS 0(SI), Y0, Y1
	VMULPS 0(BX), Y1, Y1
	VMOVUPS Y1, 0(DI)
	ADDQ $32, SI
	ADDQ $32, BX
	ADDQ $32, DI
	SUBQ $8, DX
	JG   loop
	VZEROUPPER
	RET

// func timesAVX2(x *float32, n int64, factor float32)
TEXT ·timesAVX2(SB), NOSPLIT, $0-20
	MOVQ x+0(FP), DI
	MOVQ n+8(FP), DX
	VBROADCASTSS factor+16(FP), Y0
loop:
	VMULPS 0(DI), Y0, Y1
	VMOVUPS Y1, 0(DI)
	ADDQ $32, DI
	SUBQ $8, DX
	JG   loop
	VZEROUPPER
	RET

// func ropeAVX2(x, cos, sin *float32, n int64)
//
// n is a multiple of 4, the pairs of a vector. Each cosine is doubled to both elements of its pair.
TEXT ·ropeAVX2(SB), NOSPLIT, $0-32
	MOVQ x+0(FP), DI
	MOVQ cos+8(FP), SI
	MOVQ sin+16(FP), BX
	MOVQ n+24(FP), CX
loop:
	VMOVUPS 0(DI), Y0
	VPMOVZXDQ 0(SI), Y1
	VPMOVZXDQ 0(BX), Y2
	VMOVSLDUP Y1, Y1
	VMOVSLDUP Y2, Y2
	VPERMILPS $0xb1, Y0, Y3       // the other of the pair
	VMULPS Y2, Y3, Y3
	VFMADDSUB231PS Y1, Y0, Y3     // even − , odd +
	VMOVUPS Y3, 0(DI)
	ADDQ $32, DI
	ADDQ $16, SI
	ADDQ $16, BX
	SUBQ $4, CX
	JG   loop
	VZEROUPPER
	RET

// func highestAVX2(x *float32, n int64) (top float32, largest uint32)
//
// The largest of x, and the largest of their bits without the signs.
TEXT ·highestAVX2(SB), NOSPLIT, $0-24
	MOVQ x+0(FP), SI
	MOVQ n+8(FP), DX
	MOVL $0xff800000, AX // −Inf
	VMOVD AX, X0
	VPBROADCASTD X0, Y0
	MOVL $0x7fffffff, AX
	VMOVD AX, X2
	VPBROADCASTD X2, Y2
	VPXOR Y1, Y1, Y1
loop:
	VMOVUPS (SI), Y3
	VMAXPS Y3, Y0, Y0
	VPAND Y2, Y3, Y3
	VPMAXUD Y3, Y1, Y1
	ADDQ $32, SI
	SUBQ $8, DX
	JG   loop
	VEXTRACTF128 $1, Y0, X2
	VMAXPS X2, X0, X0
	VPSHUFD $0x4e, X0, X2
	VMAXPS X2, X0, X0
	VPSHUFD $0xb1, X0, X2
	VMAXPS X2, X0, X0
	VMOVSS X0, top+16(FP)
	VEXTRACTI128 $1, Y1, X2
	VPMAXUD X2, X1, X1
	VPSHUFD $0x4e, X1, X2
	VPMAXUD X2, X1, X1
	VPSHUFD $0xb1, X1, X2
	VPMAXUD X2, X1, X1
	VMOVD X1, AX
	MOVL AX, largest+20(FP)
	VZEROUPPER
	RET

// func indexAVX2(x *float32, n int64, v float32) int64
//
// The first of x that equals v, or −1.
TEXT ·indexAVX2(SB), NOSPLIT, $0-32
	MOVQ x+0(FP), SI
	MOVQ n+8(FP), DX
	VBROADCASTSS v+16(FP), Y0
	XORL AX, AX
loop:
	VCMPPS $0, (SI)(AX*4), Y0, Y1
	VMOVMSKPS Y1, CX
	TESTL CX, CX
	JNZ  found
	ADDQ $8, AX
	CMPQ AX, DX
	JLT  loop
	MOVQ $-1, AX
	MOVQ AX, ret+24(FP)
	VZEROUPPER
	RET
found:
	BSFL CX, CX
	ADDQ CX, AX
	MOVQ AX, ret+24(FP)
	VZEROUPPER
	RET
