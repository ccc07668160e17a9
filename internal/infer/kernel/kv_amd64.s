#include "textflag.h"

// func widenF16AVX512(dst *float32, x *byte, n int64)
//
// n is a multiple of 16.
TEXT ·widenF16AVX512(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), DX
loop:
	VCVTPH2PS 0(SI), Z0
	VMOVUPS Z0, 0(DI)
	ADDQ $32, SI
	ADDQ $64, DI
	SUBQ $16, DX
	JG   loop
	VZEROUPPER
	RET

// func widenQ8AVX512(dst *float32, elements, scales *byte, dim, vectors int64)
//
// dim is a multiple of 16: a vector's last scale may be of 16 elements.
TEXT ·widenQ8AVX512(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ elements+8(FP), SI
	MOVQ scales+16(FP), BX
	MOVQ dim+24(FP), DX
	MOVQ vectors+32(FP), CX
	LEAQ (CX)(CX*1), R9     // from scale to scale of a vector
vector:
	MOVQ DX, R8
	MOVQ BX, R10
group:
	VPBROADCASTW 0(R10), Y0
	VCVTPH2PS Y0, Z0
	VPMOVSXBD 0(SI), Z1
	VCVTDQ2PS Z1, Z1
	VMULPS Z0, Z1, Z1
	VMOVUPS Z1, 0(DI)
	ADDQ R9, R10
	SUBQ $32, R8
	JLT  half
	VPMOVSXBD 16(SI), Z2
	VCVTDQ2PS Z2, Z2
	VMULPS Z0, Z2, Z2
	VMOVUPS Z2, 64(DI)
	ADDQ $32, SI
	ADDQ $128, DI
	TESTQ R8, R8
	JNZ  group
next:
	ADDQ $2, BX
	DECQ CX
	JNZ  vector
	VZEROUPPER
	RET
half:
	ADDQ $16, SI
	ADDQ $64, DI
	JMP  next

// func widenQ8AVX2(dst *float32, elements, scales *byte, dim, vectors int64)
//
// The same by eight elements.
TEXT ·widenQ8AVX2(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ elements+8(FP), SI
	MOVQ scales+16(FP), BX
	MOVQ dim+24(FP), DX
	MOVQ vectors+32(FP), CX
	LEAQ (CX)(CX*1), R9     // from scale to scale of a vector
vector:
	MOVQ DX, R8
	MOVQ BX, R10
group:
	VPBROADCASTW 0(R10), X0
	VCVTPH2PS X0, Y0
	VPMOVSXBD 0(SI), Y1
	VPMOVSXBD 8(SI), Y2
	VCVTDQ2PS Y1, Y1
	VCVTDQ2PS Y2, Y2
	VMULPS Y0, Y1, Y1
	VMULPS Y0, Y2, Y2
	VMOVUPS Y1, 0(DI)
	VMOVUPS Y2, 32(DI)
	ADDQ R9, R10
	SUBQ $32, R8
	JLT  half
	VPMOVSXBD 16(SI), Y1
	VPMOVSXBD 24(SI), Y2
	VCVTDQ2PS Y1, Y1
	VCVTDQ2PS Y2, Y2
	VMULPS Y0, Y1, Y1
	VMULPS Y0, Y2, Y2
	VMOVUPS Y1, 64(DI)
	VMOVUPS Y2, 96(DI)
	ADDQ $32, SI
	ADDQ $128, DI
	TESTQ R8, R8
	JNZ  group
next:
	ADDQ $2, BX
	DECQ CX
	JNZ  vector
	VZEROUPPER
	RET
half:
	ADDQ $16, SI
	ADDQ $64, DI
	JMP  next

// func putQ8AVX512(elements, scales *byte, x *float32, n, stride int64)
//
// n is a multiple of 32. Registers: Z31 = 0x7fffffff (magnitudes), X30 = 127, X29 = 127.5, X28 = 1.
TEXT ·putQ8AVX512(SB), NOSPLIT, $0-40
	MOVQ elements+0(FP), DI
	MOVQ scales+8(FP), BX
	MOVQ x+16(FP), SI
	MOVQ n+24(FP), CX
	MOVQ stride+32(FP), DX  // from scale to scale
	MOVL $0x7fffffff, AX
	VPBROADCASTD AX, Z31
	MOVL $0x42fe0000, AX
	VMOVD AX, X30
	MOVL $0x42ff0000, AX
	VMOVD AX, X29
	MOVL $0x3f800000, AX
	VMOVD AX, X28
loop:
	VMOVUPS 0(SI), Z0
	VMOVUPS 64(SI), Z1
	VPANDD  Z31, Z0, Z2
	VPANDD  Z31, Z1, Z3
	VPMAXUD Z3, Z2, Z2
	VEXTRACTI64X4 $1, Z2, Y3
	VPMAXUD Y3, Y2, Y2
	VEXTRACTI128 $1, Y2, X3
	VPMAXUD X3, X2, X2
	VPSHUFD $0x4e, X2, X3
	VPMAXUD X3, X2, X2
	VPSHUFD $0xb1, X2, X3
	VPMAXUD X3, X2, X2
	VMOVD   X2, AX
	TESTL   AX, AX
	JZ      blank           // the scale is 0
	CMPL    AX, $0x7f800000 // infinity: it or NaN
	JAE     bad
	VDIVSS  X30, X2, X4
	VCVTPS2PH $0, X4, X5
	VMOVD   X5, R8
	VCVTPH2PS X5, X6
	VMULSS  X29, X6, X7
	VUCOMISS X7, X2
	JB      fits
	INCL    R8
	VMOVD   R8, X5
	VCVTPH2PS X5, X6
fits:
	MOVW    R8, 0(BX)
	VDIVSS  X6, X28, X7
	VBROADCASTSS X7, Z7
	VMULPS  Z7, Z0, Z0
	VMULPS  Z7, Z1, Z1
	VCVTPS2DQ Z0, Z0
	VCVTPS2DQ Z1, Z1
	VPMOVSDB Z0, 0(DI)
	VPMOVSDB Z1, 16(DI)
next:
	ADDQ $128, SI
	ADDQ $32, DI
	ADDQ DX, BX
	SUBQ $32, CX
	JG   loop
	VZEROUPPER
	RET
bad:
	MOVL $0x7e00, AX // NaN
blank:
	MOVW AX, 0(BX)
	VPXOR X0, X0, X0
	VMOVDQU Y0, 0(DI)
	JMP  next
