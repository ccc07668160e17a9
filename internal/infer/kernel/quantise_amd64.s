#include "textflag.h"

// Registers: Z31 = 0x7fffffff (magnitudes), X30 = 127, Z29 = bytes of 1.
#define CONSTANTS \
	MOVL $0x7fffffff, AX; VPBROADCASTD AX, Z31; \
	MOVL $0x42fe0000, AX; VMOVD AX, X30; \
	MOVL $0x01010101, AX; VPBROADCASTD AX, Z29

// LARGEST leaves the largest unsigned word of Z2 in X2, changes Z3.
#define LARGEST \
	VEXTRACTI64X4 $1, Z2, Y3; VPMAXUD Y3, Y2, Y2; \
	VEXTRACTI128 $1, Y2, X3; VPMAXUD X3, X2, X2; \
	VPSHUFD $0x4e, X2, X3; VPMAXUD X3, X2, X2; \
	VPSHUFD $0xb1, X2, X3; VPMAXUD X3, X2, X2; \
	VMOVD X2, AX

// func quantise32AVX512(dst *byte, x *float32, blocks int64)
//
// A block is two vectors, so its reductions cost more than its conversions; those of neighbouring blocks overlap.
TEXT ·quantise32AVX512(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ blocks+16(FP), CX
	CONSTANTS

loop32:
	VMOVUPS 0(SI), Z0
	VMOVUPS 64(SI), Z1
	VPANDD  Z31, Z0, Z2
	VPANDD  Z31, Z1, Z3
	VPMAXUD Z3, Z2, Z2
	LARGEST
	CMPL    AX, $0x7f800000 // infinity: it or NaN
	JAE     bad32
	CMPL    AX, $0x0d800000 // 2⁻¹⁰⁰
	JB      zero32
	VDIVSS  X30, X2, X4     // scale
	VDIVSS  X2, X30, X5     // its inverse
	VBROADCASTSS X5, Z5
	VMULPS  Z5, Z0, Z0
	VMULPS  Z5, Z1, Z1
	VCVTPS2DQ Z0, Z0
	VCVTPS2DQ Z1, Z1
	VPMOVSDB Z0, X0
	VPMOVSDB Z1, X1
	VINSERTI128 $1, X1, Y0, Y0
	VMOVDQU Y0, 0(DI)
	VMOVSS  X4, 32(DI)

	// Σq: by fours, then eight of these.
	VPXOR   X6, X6, X6
	VPDPBUSD Y0, Y29, Y6
	VEXTRACTI128 $1, Y6, X7
	VPADDD  X7, X6, X6
	VPSHUFD $0x4e, X6, X7
	VPADDD  X7, X6, X6
	VPSHUFD $0xb1, X6, X7
	VPADDD  X7, X6, X6
	VMOVD   X6, AX
	NEGL    AX
	SHLL    $7, AX
	MOVL    AX, 36(DI)

next32:
	ADDQ $128, SI
	ADDQ $40, DI
	DECQ CX
	JNZ  loop32
	VZEROUPPER
	RET

bad32:
	MOVL $0x7fc00000, AX // NaN
	JMP  blank32

zero32:
	XORL AX, AX

blank32:
	VPXOR   X0, X0, X0
	VMOVDQU Y0, 0(DI)
	MOVL    AX, 32(DI)
	MOVL    $0, 36(DI)
	JMP     next32

// ROUND makes bytes of the vector in register i.
#define ROUND(i, Z, X) \
	VMULPS Z18, Z, Z; VCVTPS2DQ Z, Z; VPMOVSDB Z, X; VMOVDQU X, (16*i)(DI)

// QUADS loads 64 bytes and leaves the sums of their quads.
#define QUADS(off, Z) \
	VMOVDQU32 off(DI), Z20; VPXORD Z, Z, Z; VPDPBUSD Z20, Z29, Z

// func quantise256AVX512(dst *byte, x *float32, blocks int64)
//
// The whole super-block is in Z0 … Z15.
TEXT ·quantise256AVX512(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ blocks+16(FP), CX
	CONSTANTS
	VMOVDQU32 ·groupOrder<>(SB), Z28
	MOVL $0x00010001, AX
	VPBROADCASTD AX, Z27

loop256:
	VMOVUPS 0(SI), Z0
	VMOVUPS 64(SI), Z1
	VMOVUPS 128(SI), Z4
	VMOVUPS 192(SI), Z5
	VMOVUPS 256(SI), Z6
	VMOVUPS 320(SI), Z7
	VMOVUPS 384(SI), Z8
	VMOVUPS 448(SI), Z9
	VMOVUPS 512(SI), Z10
	VMOVUPS 576(SI), Z11
	VMOVUPS 640(SI), Z12
	VMOVUPS 704(SI), Z13
	VMOVUPS 768(SI), Z14
	VMOVUPS 832(SI), Z15
	VMOVUPS 896(SI), Z16
	VMOVUPS 960(SI), Z17

	// Magnitudes, pairwise: without the sign bit, order as integers is order as floats.
	VPANDD Z31, Z0, Z2
	VPANDD Z31, Z1, Z3
#define PAIR(A, B) VPANDD Z31, A, Z20; VPANDD Z31, B, Z21; VPMAXUD Z20, Z2, Z2; VPMAXUD Z21, Z3, Z3
	PAIR(Z4, Z5)
	PAIR(Z6, Z7)
	PAIR(Z8, Z9)
	PAIR(Z10, Z11)
	PAIR(Z12, Z13)
	PAIR(Z14, Z15)
	PAIR(Z16, Z17)
	VPMAXUD Z3, Z2, Z2
	LARGEST
	CMPL AX, $0x7f800000
	JAE  bad256
	CMPL AX, $0x0d800000
	JB   zero256
	VDIVSS X30, X2, X3
	VDIVSS X2, X30, X18
	VMOVSS X3, 368(DI)
	VBROADCASTSS X18, Z18
	ROUND(0, Z0, X0)
	ROUND(1, Z1, X1)
	ROUND(2, Z4, X4)
	ROUND(3, Z5, X5)
	ROUND(4, Z6, X6)
	ROUND(5, Z7, X7)
	ROUND(6, Z8, X8)
	ROUND(7, Z9, X9)
	ROUND(8, Z10, X10)
	ROUND(9, Z11, X11)
	ROUND(10, Z12, X12)
	ROUND(11, Z13, X13)
	ROUND(12, Z14, X14)
	ROUND(13, Z15, X15)
	VMULPS Z18, Z16, Z16
	VCVTPS2DQ Z16, Z16
	VPMOVSDB Z16, 224(DI)
	VMULPS Z18, Z17, Z17
	VCVTPS2DQ Z17, Z17
	VPMOVSDB Z17, 240(DI)

	// Σ16: each 128-bit lane of Zᵢ holds the four quads of run 4i + lane. Two rounds of unpacking and adding leave run
	// 4i + lane in word i of that lane; groupOrder puts the runs in order.
	QUADS(0, Z0)
	QUADS(64, Z1)
	QUADS(128, Z2)
	QUADS(192, Z3)
	VPUNPCKLDQ Z1, Z0, Z4
	VPUNPCKHDQ Z1, Z0, Z5
	VPADDD Z5, Z4, Z4
	VPUNPCKLDQ Z3, Z2, Z6
	VPUNPCKHDQ Z3, Z2, Z7
	VPADDD Z7, Z6, Z6
	VPUNPCKLQDQ Z6, Z4, Z0
	VPUNPCKHQDQ Z6, Z4, Z1
	VPADDD Z1, Z0, Z0
	VPERMD Z0, Z28, Z0
	VPMOVDW Z0, Y1
	VMOVDQU Y1, 320(DI)
	VPMADDWD Y27, Y1, Y2    // Σ32
	VPMOVDW Y2, X2
	VMOVDQU X2, 352(DI)
	VPSLLD $7, Z0, Z0
	VPXORD Z1, Z1, Z1
	VPSUBD Z0, Z1, Z0
	VMOVDQU32 Z0, 256(DI)

next256:
	ADDQ $1024, SI
	ADDQ $384, DI
	DECQ CX
	JNZ  loop256
	VZEROUPPER
	RET

bad256:
	MOVL $0x7fc00000, AX
	JMP  blank256

zero256:
	XORL AX, AX

blank256:
	VPXORD    Z0, Z0, Z0
	VMOVDQU32 Z0, 0(DI)
	VMOVDQU32 Z0, 64(DI)
	VMOVDQU32 Z0, 128(DI)
	VMOVDQU32 Z0, 192(DI)
	VMOVDQU32 Z0, 256(DI)
	VMOVDQU32 Z0, 320(DI)
	MOVL AX, 368(DI)
	JMP  next256

// Word 4l + i holds run 4i + l.
DATA ·groupOrder<>+0(SB)/4, $0
DATA ·groupOrder<>+4(SB)/4, $4
DATA ·groupOrder<>+8(SB)/4, $8
DATA ·groupOrder<>+12(SB)/4, $12
DATA ·groupOrder<>+16(SB)/4, $1
DATA ·groupOrder<>+20(SB)/4, $5
DATA ·groupOrder<>+24(SB)/4, $9
DATA ·groupOrder<>+28(SB)/4, $13
DATA ·groupOrder<>+32(SB)/4, $2
DATA ·groupOrder<>+36(SB)/4, $6
DATA ·groupOrder<>+40(SB)/4, $10
DATA ·groupOrder<>+44(SB)/4, $14
DATA ·groupOrder<>+48(SB)/4, $3
DATA ·groupOrder<>+52(SB)/4, $7
DATA ·groupOrder<>+56(SB)/4, $11
DATA ·groupOrder<>+60(SB)/4, $15
GLOBL ·groupOrder<>(SB), RODATA|NOPTR, $64
