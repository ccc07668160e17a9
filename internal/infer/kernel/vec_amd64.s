#include "textflag.h"
#include "rest_amd64.h"

// Element-wise functions.

// func dotAVX512(a, b *float32, n int64) float32
//
// Four vectors of sums cover the latency of the additions (4 cycles, two a cycle, two loads each).
TEXT ·dotAVX512(SB), NOSPLIT, $0-28
	MOVQ a+0(FP), SI
	MOVQ b+8(FP), DI
	MOVQ n+16(FP), DX
	VPXORD Z0, Z0, Z0
	VPXORD Z1, Z1, Z1
	VPXORD Z2, Z2, Z2
	VPXORD Z3, Z3, Z3
	SUBQ $64, DX
	JLT  vectors
loop:
	VMOVUPS 0(SI), Z4
	VMOVUPS 64(SI), Z5
	VMOVUPS 128(SI), Z6
	VMOVUPS 192(SI), Z7
	VFMADD231PS 0(DI), Z4, Z0
	VFMADD231PS 64(DI), Z5, Z1
	VFMADD231PS 128(DI), Z6, Z2
	VFMADD231PS 192(DI), Z7, Z3
	ADDQ $256, SI
	ADDQ $256, DI
	SUBQ $64, DX
	JGE  loop
vectors:
	ADDQ $48, DX // 16 less than what is left
	JLT  rest
vector:
	VMOVUPS 0(SI), Z4
	VFMADD231PS 0(DI), Z4, Z0
	ADDQ $64, SI
	ADDQ $64, DI
	SUBQ $16, DX
	JGE  vector
rest:
	ADDQ $16, DX
	REST(DX, add)
	VMOVUPS.Z 0(SI), K1, Z4
	VMOVUPS.Z 0(DI), K1, Z5
	VFMADD231PS Z5, Z4, Z1
add:
	VADDPS Z1, Z0, Z0
	VADDPS Z3, Z2, Z2
	VADDPS Z2, Z0, Z0
	VEXTRACTF64X4 $1, Z0, Y1
	VADDPS Y1, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VADDPS X1, X0, X0
	VPSHUFD $0x4e, X0, X1
	VADDPS X1, X0, X0
	VPSHUFD $0xb1, X0, X1
	VADDSS X1, X0, X0
	VMOVSS X0, ret+24(FP)
	VZEROUPPER
	RET

// func scaleByAVX512(dst, x, w *float32, n int64, factor float32)
TEXT ·scaleByAVX512(SB), NOSPLIT, $0-36
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ w+16(FP), BX
	MOVQ n+24(FP), DX
	VBROADCASTSS factor+32(FP), Z0
	SUBQ $16, DX
	JLT  rest
loop:
	VMULPS 0(SI), Z0, Z1
	VMULPS 0(BX), Z1, Z1
	VMOVUPS Z1, 0(DI)
	ADDQ $64, SI
	ADDQ $64, BX
	ADDQ $64, DI
	SUBQ $16, DX
	JGE  loop
rest:
	ADDQ $16, DX
	REST(DX, done)
	VMULPS.Z 0(SI), Z0, K1, Z1
	VMULPS.Z 0(BX), Z1, K1, Z1
	VMOVUPS Z1, K1, 0(DI)
done:
	VZEROUPPER
	RET

// func addScaledAVX512(dst, x *float32, n int64, factor float32)
TEXT ·addScaledAVX512(SB), NOSPLIT, $0-28
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), DX
	VBROADCASTSS factor+24(FP), Z0
	SUBQ $16, DX
	JLT  rest
loop:
	VMOVUPS 0(DI), Z1
	VFMADD231PS 0(SI), Z0, Z1
	VMOVUPS Z1, 0(DI)
	ADDQ $64, SI
	ADDQ $64, DI
	SUBQ $16, DX
	JGE  loop
rest:
	ADDQ $16, DX
	REST(DX, done)
	VMOVUPS.Z 0(DI), K1, Z1
	VMOVUPS.Z 0(SI), K1, Z2
	VFMADD231PS Z2, Z0, Z1
	VMOVUPS Z1, K1, 0(DI)
done:
	VZEROUPPER
	RET

// func toF16AVX512(dst *byte, x *float32, n int64)
TEXT ·toF16AVX512(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), DX
	SUBQ $16, DX
	JLT  rest
loop:
	VMOVUPS 0(SI), Z0
	VCVTPS2PH $0, Z0, 0(DI) // 0: ties to even
	ADDQ $64, SI
	ADDQ $32, DI
	SUBQ $16, DX
	JGE  loop
rest:
	ADDQ $16, DX
	REST(DX, done)
	VMOVUPS.Z 0(SI), K1, Z0
	VCVTPS2PH $0, Z0, K1, 0(DI)
done:
	VZEROUPPER
	RET

// func ropeAVX512(x, cos, sin *float32, n int64)
//
// n is a multiple of 8, the pairs of a vector. Each cosine is doubled to both elements of its pair.
TEXT ·ropeAVX512(SB), NOSPLIT, $0-32
	MOVQ x+0(FP), DI
	MOVQ cos+8(FP), SI
	MOVQ sin+16(FP), BX
	MOVQ n+24(FP), CX
loop:
	VMOVUPS 0(DI), Z0
	VPMOVZXDQ 0(SI), Z1
	VPMOVZXDQ 0(BX), Z2
	VMOVSLDUP Z1, Z1
	VMOVSLDUP Z2, Z2
	VPERMILPS $0xb1, Z0, Z3       // the other of the pair
	VMULPS Z2, Z3, Z3
	VFMADDSUB231PS Z1, Z0, Z3     // even − , odd +
	VMOVUPS Z3, 0(DI)
	ADDQ $64, DI
	ADDQ $32, SI
	ADDQ $32, BX
	SUBQ $8, CX
	JG   loop
	VZEROUPPER
	RET

// func timesAVX512(x *float32, n int64, factor float32)
TEXT ·timesAVX512(SB), NOSPLIT, $0-20
	MOVQ x+0(FP), DI
	MOVQ n+8(FP), DX
	VBROADCASTSS factor+16(FP), Z0
	SUBQ $16, DX
	JLT  rest
loop:
	VMULPS 0(DI), Z0, Z1
	VMOVUPS Z1, 0(DI)
	ADDQ $64, DI
	SUBQ $16, DX
	JGE  loop
rest:
	ADDQ $16, DX
	REST(DX, done)
	VMULPS.Z 0(DI), Z0, K1, Z1
	VMOVUPS Z1, K1, 0(DI)
done:
	VZEROUPPER
	RET

// func highestAVX512(x *float32, n int64) (top float32, largest uint32)
//
// The largest of x, and the largest of their bits without the signs; n is a multiple of 16.
TEXT ·highestAVX512(SB), NOSPLIT, $0-24
	MOVQ x+0(FP), SI
	MOVQ n+8(FP), DX
	MOVL $0xff800000, AX // −Inf
	VPBROADCASTD AX, Z0
	MOVL $0x7fffffff, AX
	VPBROADCASTD AX, Z2
	VPXORD Z1, Z1, Z1
loop:
	VMOVUPS (SI), Z3
	VMAXPS Z3, Z0, Z0
	VPANDD Z2, Z3, Z3
	VPMAXUD Z3, Z1, Z1
	ADDQ $64, SI
	SUBQ $16, DX
	JG   loop
	VEXTRACTF64X4 $1, Z0, Y2
	VMAXPS Y2, Y0, Y0
	VEXTRACTF128 $1, Y0, X2
	VMAXPS X2, X0, X0
	VPSHUFD $0x4e, X0, X2
	VMAXPS X2, X0, X0
	VPSHUFD $0xb1, X0, X2
	VMAXPS X2, X0, X0
	VMOVSS X0, top+16(FP)
	VEXTRACTI64X4 $1, Z1, Y2
	VPMAXUD Y2, Y1, Y1
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

// func indexAVX512(x *float32, n int64, v float32) int64
//
// The first of x that equals v, or −1; n is a multiple of 16.
TEXT ·indexAVX512(SB), NOSPLIT, $0-32
	MOVQ x+0(FP), SI
	MOVQ n+8(FP), DX
	VBROADCASTSS v+16(FP), Z0
	XORL AX, AX
loop:
	VCMPPS $0, (SI)(AX*4), Z0, K1
	KMOVW K1, CX
	TESTL CX, CX
	JNZ  found
	ADDQ $16, AX
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
