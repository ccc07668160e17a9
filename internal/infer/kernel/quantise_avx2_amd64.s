#include "textflag.h"

// Registers: Y15 = 0x7fffffff (magnitudes), X14 = 127, Y13 = bytes of 1, Y12 = words of 1, Y11 = byteOrder.
#define CONSTANTS \
	MOVL $0x7fffffff, AX; VMOVD AX, X15; VPBROADCASTD X15, Y15; \
	MOVL $0x42fe0000, AX; VMOVD AX, X14; \
	MOVL $0x01010101, AX; VMOVD AX, X13; VPBROADCASTD X13, Y13; \
	MOVL $0x00010001, AX; VMOVD AX, X12; VPBROADCASTD X12, Y12; \
	VMOVDQU ·byteOrder<>(SB), Y11

// Two rounds of packing leave four bytes of each vector in turn in each half.
DATA ·byteOrder<>+0(SB)/4, $0
DATA ·byteOrder<>+4(SB)/4, $4
DATA ·byteOrder<>+8(SB)/4, $1
DATA ·byteOrder<>+12(SB)/4, $5
DATA ·byteOrder<>+16(SB)/4, $2
DATA ·byteOrder<>+20(SB)/4, $6
DATA ·byteOrder<>+24(SB)/4, $3
DATA ·byteOrder<>+28(SB)/4, $7
GLOBL ·byteOrder<>(SB), RODATA|NOPTR, $32

// MAGNITUDE leaves the larger of Y4 and the magnitudes of 32 elements from SI + off, changes Y5 … Y8.
#define MAGNITUDE(off) \
	VPAND (off+0)(SI), Y15, Y5; VPAND (off+32)(SI), Y15, Y6; VPAND (off+64)(SI), Y15, Y7; VPAND (off+96)(SI), Y15, Y8; \
	VPMAXUD Y6, Y5, Y5; VPMAXUD Y8, Y7, Y7; VPMAXUD Y5, Y4, Y4; VPMAXUD Y7, Y4, Y4

// LARGEST leaves the largest unsigned word of Y4 in X4 and AX, changes Y5.
#define LARGEST \
	VEXTRACTI128 $1, Y4, X5; VPMAXUD X5, X4, X4; \
	VPSHUFD $0x4e, X4, X5; VPMAXUD X5, X4, X4; \
	VPSHUFD $0xb1, X4, X5; VPMAXUD X5, X4, X4; \
	VMOVD X4, AX

// ROUND leaves 32 elements from SI times Y10 as bytes in Y0, and the sums of their quads in Y1; changes Y2 and Y3.
#define ROUND \
	VMULPS 0(SI), Y10, Y0; VMULPS 32(SI), Y10, Y1; VMULPS 64(SI), Y10, Y2; VMULPS 96(SI), Y10, Y3; \
	VCVTPS2DQ Y0, Y0; VCVTPS2DQ Y1, Y1; VCVTPS2DQ Y2, Y2; VCVTPS2DQ Y3, Y3; \
	VPACKSSDW Y1, Y0, Y0; VPACKSSDW Y3, Y2, Y2; VPACKSSWB Y2, Y0, Y0; VPERMD Y0, Y11, Y0; \
	VPMADDUBSW Y0, Y13, Y1; VPMADDWD Y12, Y1, Y1

// SUM leaves the sum of Y1 in AX, changes Y2.
#define SUM \
	VEXTRACTI128 $1, Y1, X2; VPADDD X2, X1, X1; \
	VPSHUFD $0x4e, X1, X2; VPADDD X2, X1, X1; \
	VPSHUFD $0xb1, X1, X2; VPADDD X2, X1, X1; \
	VMOVD X1, AX

// INIT leaves −128 times the sum of Y1 in AX, changes Y2.
#define INIT \
	SUM; NEGL AX; SHLL $7, AX

// func quantise32AVX2(dst *byte, x *float32, blocks int64)
TEXT ·quantise32AVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ blocks+16(FP), CX
	CONSTANTS

loop32:
	VPXOR   Y4, Y4, Y4
	MAGNITUDE(0)
	LARGEST
	CMPL    AX, $0x7f800000 // infinity: it or NaN
	JAE     bad32
	CMPL    AX, $0x0d800000 // 2⁻¹⁰⁰
	JB      zero32
	VDIVSS  X14, X4, X9     // scale
	VDIVSS  X4, X14, X10    // its inverse
	VBROADCASTSS X10, Y10
	ROUND
	VMOVDQU Y0, 0(DI)
	VMOVSS  X9, 32(DI)
	INIT
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
	VPXOR   Y0, Y0, Y0
	VMOVDQU Y0, 0(DI)
	MOVL    AX, 32(DI)
	MOVL    $0, 36(DI)
	JMP     next32

// Elements 0, 2, 1, 3 of each quad.
DATA ·evenFirst<>+0(SB)/4, $0x03010200
DATA ·evenFirst<>+4(SB)/4, $0x07050604
DATA ·evenFirst<>+8(SB)/4, $0x0b090a08
DATA ·evenFirst<>+12(SB)/4, $0x0f0d0e0c
GLOBL ·evenFirst<>(SB), RODATA|NOPTR, $16

// func quantise16AVX2(dst *byte, x *float32, blocks int64)
TEXT ·quantise16AVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ blocks+16(FP), CX
	CONSTANTS

loop16:
	VPXOR   Y4, Y4, Y4
	MAGNITUDE(0)
	LARGEST
	CMPL    AX, $0x7f800000 // infinity: it or NaN
	JAE     bad16
	CMPL    AX, $0x0d800000 // 2⁻¹⁰⁰
	JB      zero16
	VDIVSS  X14, X4, X9     // scale
	VDIVSS  X4, X14, X10    // its inverse
	VBROADCASTSS X10, Y10
	ROUND
	INIT
	MOVL    AX, 68(DI)
	MOVL    AX, DX
	VPSHUFB ·evenFirst<>(SB), X0, X2
	VEXTRACTI128 $1, Y0, X3
	VPSHUFB ·evenFirst<>(SB), X3, X3
	VPMOVSXBW X2, Y2
	VPMOVSXBW X3, Y3
	VMOVDQU Y2, 0(DI)
	VMOVDQU Y3, 32(DI)
	VMOVSS  X9, 64(DI)
	VPSHUFD $0xb1, Y2, Y1   // products of neighbours, twice each
	VPMADDWD Y1, Y2, Y1
	VPSHUFD $0xb1, Y3, Y2
	VPMADDWD Y2, Y3, Y2
	VPADDD  Y2, Y1, Y1
	SUM
	SARL    $1, AX
	SUBL    AX, DX
	ADDL    $0x4b400000, DX
	MOVL    DX, 72(DI)

next16:
	ADDQ $128, SI
	ADDQ $76, DI
	DECQ CX
	JNZ  loop16
	VZEROUPPER
	RET

bad16:
	MOVL $0x7fc00000, AX // NaN
	JMP  blank16

zero16:
	XORL AX, AX

blank16:
	VPXOR   Y0, Y0, Y0
	VMOVDQU Y0, 0(DI)
	VMOVDQU Y0, 32(DI)
	MOVL    AX, 64(DI)
	MOVL    $0, 68(DI)
	MOVL    $0x4b400000, 72(DI)
	JMP     next16

// func quantise256AVX2(dst *byte, x *float32, blocks int64)
//
// Once through a super-block for its largest magnitude, and again, 32 elements at a time, which are in the L1 cache then.
TEXT ·quantise256AVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ blocks+16(FP), CX
	CONSTANTS

loop256:
	VPXOR Y4, Y4, Y4
	MAGNITUDE(0)
	MAGNITUDE(128)
	MAGNITUDE(256)
	MAGNITUDE(384)
	MAGNITUDE(512)
	MAGNITUDE(640)
	MAGNITUDE(768)
	MAGNITUDE(896)
	LARGEST
	CMPL AX, $0x7f800000
	JAE  bad256
	CMPL AX, $0x0d800000
	JB   zero256
	VDIVSS X14, X4, X9
	VDIVSS X4, X14, X10
	VMOVSS X9, 368(DI)
	MOVL $0, 372(DI)
	MOVQ $0, 376(DI)
	VBROADCASTSS X10, Y10
	XORL BX, BX            // run of 32

run256:
	ROUND
	MOVQ BX, DX
	SHLQ $5, DX
	VMOVDQU Y0, (DI)(DX*1)
	VPSHUFD $0x4e, Y1, Y2  // Σ16 in each half
	VPADDD  Y2, Y1, Y1
	VPSHUFD $0xb1, Y1, Y2
	VPADDD  Y2, Y1, Y1
	VEXTRACTI128 $1, Y1, X2
	VMOVD X1, AX
	VMOVD X2, DX
	MOVW  AX, 320(DI)(BX*4)
	MOVW  DX, 322(DI)(BX*4)
	LEAL  (AX)(DX*1), R8
	MOVW  R8, 352(DI)(BX*2)
	NEGL  AX
	SHLL  $7, AX
	MOVL  AX, 256(DI)(BX*8)
	NEGL  DX
	SHLL  $7, DX
	MOVL  DX, 260(DI)(BX*8)
	ADDQ $128, SI
	INCQ BX
	CMPQ BX, $8
	JNE  run256

next256:
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
	VPXOR   Y0, Y0, Y0
	VMOVDQU Y0, 0(DI)
	VMOVDQU Y0, 32(DI)
	VMOVDQU Y0, 64(DI)
	VMOVDQU Y0, 96(DI)
	VMOVDQU Y0, 128(DI)
	VMOVDQU Y0, 160(DI)
	VMOVDQU Y0, 192(DI)
	VMOVDQU Y0, 224(DI)
	VMOVDQU Y0, 256(DI)
	VMOVDQU Y0, 288(DI)
	VMOVDQU Y0, 320(DI)
	VMOVDQU Y0, 352(DI)
	MOVL AX, 368(DI)
	ADDQ $1024, SI
	JMP  next256
