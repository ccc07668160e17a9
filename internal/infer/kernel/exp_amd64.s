#include "textflag.h"
#include "rest_amd64.h"

// EXP leaves eˣ of Z0 in Z1, changes Z2 and Z3: the same reduction and polynomial as exp32, but the power of two is applied
// by VSCALEFPS, which goes through the subnormals to zero. The bounds keep infinities out of the subtraction; x is the
// second source of the comparison, which wins if it is NaN.
#define EXPCONSTANTS \
	VBROADCASTSS ·expConst<>+0(SB), Z31; \
	VBROADCASTSS ·expConst<>+4(SB), Z30; \
	VBROADCASTSS ·expConst<>+8(SB), Z29; \
	VBROADCASTSS ·expConst<>+12(SB), Z28; \
	VBROADCASTSS ·expConst<>+16(SB), Z27; \
	VBROADCASTSS ·expConst<>+20(SB), Z26; \
	VBROADCASTSS ·expConst<>+24(SB), Z25; \
	VBROADCASTSS ·expConst<>+28(SB), Z24; \
	VBROADCASTSS ·expConst<>+32(SB), Z23; \
	VBROADCASTSS ·expConst<>+36(SB), Z22; \
	VBROADCASTSS ·expConst<>+40(SB), Z21; \
	VBROADCASTSS ·expConst<>+44(SB), Z20

#define EXP \
	VMAXPS Z0, Z31, Z0; \
	VMINPS Z0, Z30, Z0; \
	VMULPS Z29, Z0, Z2; \
	VRNDSCALEPS $0, Z2, Z2; \
	VFNMADD231PS Z28, Z2, Z0; \
	VFNMADD231PS Z27, Z2, Z0; \
	VMOVAPS Z26, Z1; \
	VFMADD213PS Z25, Z0, Z1; \
	VFMADD213PS Z24, Z0, Z1; \
	VFMADD213PS Z23, Z0, Z1; \
	VFMADD213PS Z22, Z0, Z1; \
	VFMADD213PS Z21, Z0, Z1; \
	VMULPS Z0, Z0, Z3; \
	VFMADD213PS Z0, Z3, Z1; \
	VADDPS Z20, Z1, Z1; \
	VSCALEFPS Z2, Z1, Z1

DATA ·expConst<>+0(SB)/4, $0xc2d00000  // −104: e⁻¹⁰⁴ rounds to 0
DATA ·expConst<>+4(SB)/4, $0x42b20000  // 89: infinity
DATA ·expConst<>+8(SB)/4, $0x3fb8aa3b  // 1/ln 2
DATA ·expConst<>+12(SB)/4, $0x3f318000 // ln 2, upper part
DATA ·expConst<>+16(SB)/4, $0xb95e8083 // and the rest
DATA ·expConst<>+20(SB)/4, $0x39506967 // the coefficients of exp32
DATA ·expConst<>+24(SB)/4, $0x3ab743ce
DATA ·expConst<>+28(SB)/4, $0x3c088908
DATA ·expConst<>+32(SB)/4, $0x3d2aa9c1
DATA ·expConst<>+36(SB)/4, $0x3e2aaaaa
DATA ·expConst<>+40(SB)/4, $0x3f000000
DATA ·expConst<>+44(SB)/4, $0x3f800000 // 1
GLOBL ·expConst<>(SB), RODATA|NOPTR, $48

// func expSumAVX512(x *float32, n int64) (top, sum float32)
//
// Replaces x by e^(x−top), top the largest. n > 0. Two passes; NaN is lost in the first but not in the second.
TEXT ·expSumAVX512(SB), NOSPLIT, $0-24
	MOVQ x+0(FP), SI
	MOVQ n+8(FP), DX
	EXPCONSTANTS
	MOVL $0xff800000, AX // −Inf
	VPBROADCASTD AX, Z5
	VMOVAPS Z5, Z6
	MOVQ SI, DI
	MOVQ DX, BX
	SUBQ $16, BX
	JLT  toprest
toploop:
	VMAXPS 0(DI), Z5, Z5
	ADDQ $64, DI
	SUBQ $16, BX
	JGE  toploop
toprest:
	ADDQ $16, BX
	REST(BX, top)
	VMOVUPS 0(DI), K1, Z6 // −Inf elsewhere
	VMAXPS Z6, Z5, Z5
top:
	VEXTRACTF64X4 $1, Z5, Y6
	VMAXPS Y6, Y5, Y5
	VEXTRACTF128 $1, Y5, X6
	VMAXPS X6, X5, X5
	VPSHUFD $0x4e, X5, X6
	VMAXPS X6, X5, X5
	VPSHUFD $0xb1, X5, X6
	VMAXPS X6, X5, X5
	VMOVSS X5, top+16(FP)
	VBROADCASTSS X5, Z5
	VPXORD Z4, Z4, Z4
	SUBQ $16, DX
	JLT  rest
loop:
	VMOVUPS 0(SI), Z0
	VSUBPS Z5, Z0, Z0
	EXP
	VMOVUPS Z1, 0(SI)
	VADDPS Z1, Z4, Z4
	ADDQ $64, SI
	SUBQ $16, DX
	JGE  loop
rest:
	ADDQ $16, DX
	JZ   done
	VMOVUPS.Z 0(SI), K1, Z0
	VSUBPS.Z Z5, Z0, K1, Z0
	EXP
	VMOVUPS Z1, K1, 0(SI)
	VADDPS Z1, Z4, K1, Z4
done:
	VEXTRACTF64X4 $1, Z4, Y1
	VADDPS Y1, Y4, Y4
	VEXTRACTF128 $1, Y4, X1
	VADDPS X1, X4, X4
	VPSHUFD $0x4e, X4, X1
	VADDPS X1, X4, X4
	VPSHUFD $0xb1, X4, X1
	VADDSS X1, X4, X4
	VMOVSS X4, sum+20(FP)
	VZEROUPPER
	RET

// func expScaledAVX512(dst, x *float32, n int64, top, factor float32)
//
// dst = e^((x−top)·factor)
TEXT ·expScaledAVX512(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), DX
	EXPCONSTANTS
	VBROADCASTSS top+24(FP), Z5
	VBROADCASTSS factor+28(FP), Z6
	SUBQ $16, DX
	JLT  rest
loop:
	VMOVUPS 0(SI), Z0
	VSUBPS Z5, Z0, Z0
	VMULPS Z6, Z0, Z0
	EXP
	VMOVUPS Z1, 0(DI)
	ADDQ $64, SI
	ADDQ $64, DI
	SUBQ $16, DX
	JGE  loop
rest:
	ADDQ $16, DX
	REST(DX, done)
	VMOVUPS.Z 0(SI), K1, Z0
	VSUBPS Z5, Z0, Z0
	VMULPS Z6, Z0, Z0
	EXP
	VMOVUPS Z1, K1, 0(DI)
done:
	VZEROUPPER
	RET

// SILU turns Z6 (gate) and Z7 (up) into gate / (1 + e^−gate) · up in Z6.
#define SILU \
	VPXORD Z19, Z6, Z0; \
	EXP; \
	VADDPS Z20, Z1, Z1; \
	VDIVPS Z1, Z6, Z6; \
	VMULPS Z7, Z6, Z6

// func swigluAVX512(dst, gate, up *float32, n int64)
TEXT ·swigluAVX512(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ gate+8(FP), SI
	MOVQ up+16(FP), BX
	MOVQ n+24(FP), DX
	EXPCONSTANTS
	MOVL $0x80000000, AX
	VPBROADCASTD AX, Z19
	SUBQ $16, DX
	JLT  rest
loop:
	VMOVUPS 0(SI), Z6
	VMOVUPS 0(BX), Z7
	SILU
	VMOVUPS Z6, 0(DI)
	ADDQ $64, SI
	ADDQ $64, BX
	ADDQ $64, DI
	SUBQ $16, DX
	JGE  loop
rest:
	ADDQ $16, DX
	REST(DX, done)
	VMOVUPS.Z 0(SI), K1, Z6
	VMOVUPS.Z 0(BX), K1, Z7
	SILU
	VMOVUPS Z6, K1, 0(DI)
done:
	VZEROUPPER
	RET

// EXP2 is EXP for eight elements without AVX-512: Y0 to Y1, changes Y2 and Y3. The power of two is applied in two halves,
// so that each is a normal number.
#define EXP2CONSTANTS \
	VBROADCASTSS ·expConst<>+8(SB), Y15; \
	VBROADCASTSS ·expConst<>+12(SB), Y14; \
	VBROADCASTSS ·expConst<>+16(SB), Y13; \
	VBROADCASTSS ·expConst<>+20(SB), Y12; \
	VBROADCASTSS ·expConst<>+24(SB), Y11; \
	VBROADCASTSS ·expConst<>+28(SB), Y10; \
	VBROADCASTSS ·expConst<>+32(SB), Y9; \
	VBROADCASTSS ·expConst<>+36(SB), Y8; \
	VBROADCASTSS ·expConst<>+44(SB), Y7

#define EXP2 \
	VBROADCASTSS ·expConst<>+0(SB), Y2; \
	VMAXPS Y0, Y2, Y0; \
	VBROADCASTSS ·expConst<>+4(SB), Y2; \
	VMINPS Y0, Y2, Y0; \
	VMULPS Y15, Y0, Y2; \
	VROUNDPS $0, Y2, Y2; \
	VFNMADD231PS Y14, Y2, Y0; \
	VFNMADD231PS Y13, Y2, Y0; \
	VMOVAPS Y12, Y1; \
	VFMADD213PS Y11, Y0, Y1; \
	VFMADD213PS Y10, Y0, Y1; \
	VFMADD213PS Y9, Y0, Y1; \
	VFMADD213PS Y8, Y0, Y1; \
	VBROADCASTSS ·expConst<>+40(SB), Y3; \
	VFMADD213PS Y3, Y0, Y1; \
	VMULPS Y0, Y0, Y3; \
	VFMADD213PS Y0, Y3, Y1; \
	VADDPS Y7, Y1, Y1; \
	VCVTPS2DQ Y2, Y2; \
	VPSRAD $1, Y2, Y3; \
	VPSUBD Y3, Y2, Y2; \
	VPSLLD $23, Y3, Y3; \
	VPSLLD $23, Y2, Y2; \
	VPADDD Y7, Y3, Y3; \
	VPADDD Y7, Y2, Y2; \
	VMULPS Y3, Y1, Y1; \
	VMULPS Y2, Y1, Y1

// func expSumAVX2(x *float32, n int64, top float32) (sum float32)
//
// Replaces x by e^(x−top); n is a multiple of 8.
TEXT ·expSumAVX2(SB), NOSPLIT, $0-28
	MOVQ x+0(FP), SI
	MOVQ n+8(FP), DX
	VBROADCASTSS top+16(FP), Y5
	VXORPS Y4, Y4, Y4
	EXP2CONSTANTS
loop:
	VMOVUPS 0(SI), Y0
	VSUBPS Y5, Y0, Y0
	EXP2
	VMOVUPS Y1, 0(SI)
	VADDPS Y1, Y4, Y4
	ADDQ $32, SI
	SUBQ $8, DX
	JG   loop
	VEXTRACTF128 $1, Y4, X1
	VADDPS X1, X4, X4
	VPSHUFD $0x4e, X4, X1
	VADDPS X1, X4, X4
	VPSHUFD $0xb1, X4, X1
	VADDSS X1, X4, X4
	VMOVSS X4, sum+24(FP)
	VZEROUPPER
	RET

// func swigluAVX2(dst, gate, up *float32, n int64)
TEXT ·swigluAVX2(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ gate+8(FP), SI
	MOVQ up+16(FP), BX
	MOVQ n+24(FP), DX
	EXP2CONSTANTS
loop:
	VMOVUPS 0(SI), Y6
	VXORPS Y0, Y0, Y0
	VSUBPS Y6, Y0, Y0
	EXP2
	VADDPS Y7, Y1, Y1
	VDIVPS Y1, Y6, Y6
	VMULPS 0(BX), Y6, Y6
	VMOVUPS Y6, 0(DI)
	ADDQ $32, SI
	ADDQ $32, BX
	ADDQ $32, DI
	SUBQ $8, DX
	JG   loop
	VZEROUPPER
	RET

// func expScaledAVX2(dst, x *float32, n int64, top, factor float32)
//
// dst = e^((x−top)·factor); n is a multiple of 8.
TEXT ·expScaledAVX2(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), DX
	EXP2CONSTANTS
	VBROADCASTSS top+24(FP), Y5
	VBROADCASTSS factor+28(FP), Y6
loop:
	VMOVUPS 0(SI), Y0
	VSUBPS Y5, Y0, Y0
	VMULPS Y6, Y0, Y0
	EXP2
	VMOVUPS Y1, 0(DI)
	ADDQ $32, SI
	ADDQ $32, DI
	SUBQ $8, DX
	JG   loop
	VZEROUPPER
	RET
