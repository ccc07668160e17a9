#include "textflag.h"

// The kernels of this file multiply IQ4_NL and IQ4_XS with a single column as they lie: each nibble of four planes is looked
// up in the curve's points and multiplied at once. The float additions are those of spread_amd64.s.

// Offsets in type curveProduct.
#define PLANES 0
#define ACTS 8
#define ACC 16
#define TABLES 24
#define LEFT 32
#define SCALES 40
#define AHEAD 48

#define BEGIN \
	MOVQ p+0(FP), SI; MOVQ PLANES(SI), DI; MOVQ ACTS(SI), R9; MOVQ ACC(SI), R11; \
	MOVQ TABLES(SI), AX; MOVQ LEFT(SI), CX

// PLANE512 looks a plane's low nibbles up for quad q of the activations at BX, and the high ones for quad q+4.
#define PLANE512(q) \
	VMOVDQU32 (128*q)(DI), Z4; VMOVDQU32 (128*q+64)(DI), Z5; \
	VPSRLW $4, Z4, Z6; VPSRLW $4, Z5, Z7; \
	VPANDD Z31, Z4, Z4; VPANDD Z31, Z5, Z5; VPANDD Z31, Z6, Z6; VPANDD Z31, Z7, Z7; \
	VPSHUFB Z4, Z30, Z4; VPSHUFB Z5, Z30, Z5; VPSHUFB Z6, Z30, Z6; VPSHUFB Z7, Z30, Z7; \
	PRODUCTS512(q)

// PLANEVBMI is the same with VPERMB, which takes six bits of a byte from a table that repeats itself: no masks.
#define PLANEVBMI(q) \
	VMOVDQU32 (128*q)(DI), Z4; VMOVDQU32 (128*q+64)(DI), Z5; \
	VPSRLW $4, Z4, Z6; VPSRLW $4, Z5, Z7; \
	VPERMB Z30, Z4, Z4; VPERMB Z30, Z5, Z5; VPERMB Z30, Z6, Z6; VPERMB Z30, Z7, Z7; \
	PRODUCTS512(q)

#define PRODUCTS512(q) \
	VPDPBUSD.BCST (4*q)(BX), Z4, Z0; VPDPBUSD.BCST (4*q)(BX), Z5, Z1; \
	VPDPBUSD.BCST (4*q+16)(BX), Z6, Z2; VPDPBUSD.BCST (4*q+16)(BX), Z7, Z3

// RUN512 adds 32 weights of 32 rows to Z8 and Z9. Sums start from DX; Z10 and Z11 are the rows' scales, Z12 the activations'.
#define RUN512(PLANE) \
	VPBROADCASTD DX, Z0; VMOVDQA32 Z0, Z1; VPXORD Z2, Z2, Z2; VPXORD Z3, Z3, Z3; \
	PLANE(0); PLANE(1); PLANE(2); PLANE(3); \
	VPADDD Z2, Z0, Z0; VPADDD Z3, Z1, Z1; VCVTDQ2PS Z0, Z0; VCVTDQ2PS Z1, Z1; \
	VMULPS Z10, Z12, Z4; VMULPS Z11, Z12, Z5; VFMADD231PS Z0, Z4, Z8; VFMADD231PS Z1, Z5, Z9

#define BEGIN512 \
	BEGIN; MOVQ AHEAD(SI), R8; VBROADCASTI32X4 (AX), Z30; MOVL $0x0f0f0f0f, DX; VPBROADCASTD DX, Z31; \
	VMOVUPS 0(R11), Z8; VMOVUPS 64(R11), Z9

#define END512 VMOVUPS Z8, 0(R11); VMOVUPS Z9, 64(R11); VZEROUPPER

// LINES8 asks for the next lines as far ahead as R8 says, by PREFETCHT0 or PREFETCHT1.
#define LINES8(FETCH) \
	FETCH 0(DI)(R8*1); FETCH 64(DI)(R8*1); FETCH 128(DI)(R8*1); FETCH 192(DI)(R8*1); FETCH 256(DI)(R8*1); \
	FETCH 320(DI)(R8*1); FETCH 384(DI)(R8*1); FETCH 448(DI)(R8*1); FETCH 512(DI)(R8*1)

// FETCH8 does so if R8 is not 0, into the L2 cache if it is odd: see fetchAhead.
#define FETCH8 \
	TESTQ R8, R8; JZ none; TESTL $1, R8; JNZ second; LINES8(PREFETCHT0); JMP none; second: LINES8(PREFETCHT1); none:

// BLOCK32 is a block of 32, whose scales are before its planes.
#define BLOCK32(PLANE) \
	VCVTPH2PS 0(DI), Z10; VCVTPH2PS 32(DI), Z11; \
	ADDQ $64, DI; MOVQ R9, BX; VBROADCASTSS 32(R9), Z12; MOVL 36(R9), DX; \
	RUN512(PLANE); \
	ADDQ $512, DI; ADDQ $40, R9

// BEGIN256 begins a super-block: the first plane has a scale of 16 bits and two bits of eight others, which are brought to
// bits 4 and 5 in Z18 and Z19; the second one has their low nibbles, in Z16 and Z17. Z13 and Z14 are the super-scales.
#define BEGIN256 \
	VMOVDQU32 0(DI), Z18; VMOVDQU32 64(DI), Z19; VMOVDQU32 128(DI), Z16; VMOVDQU32 192(DI), Z17; \
	VPMOVDW Z18, Y13; VPMOVDW Z19, Y14; VCVTPH2PS Y13, Z13; VCVTPH2PS Y14, Z14; \
	VPSRLD $12, Z18, Z18; VPSRLD $12, Z19, Z19; \
	ADDQ $256, DI; MOVQ R9, BX; VBROADCASTSS 368(R9), Z12; MOVL $8, R10

// SCALE256 gives the scales of the next run: the six bits, put into the mantissa of 2²³ (Z22), less that and 32 (Z23), times
// the super-scales.
#define SCALE256 \
	VMOVDQA32 Z16, Z10; VMOVDQA32 Z17, Z11; VPSRLD $4, Z16, Z16; VPSRLD $4, Z17, Z17; \
	VPTERNLOGD $0xe4, Z20, Z18, Z10; VPTERNLOGD $0xe4, Z20, Z19, Z11; VPSRLD $2, Z18, Z18; VPSRLD $2, Z19, Z19; \
	VPTERNLOGD $0xea, Z22, Z21, Z10; VPTERNLOGD $0xea, Z22, Z21, Z11; \
	VSUBPS Z23, Z10, Z10; VSUBPS Z23, Z11, Z11; VMULPS Z13, Z10, Z10; VMULPS Z14, Z11, Z11

#define CONSTANTS256 \
	MOVL $15, DX; VPBROADCASTD DX, Z20; MOVL $63, DX; VPBROADCASTD DX, Z21; \
	MOVL $0x4b000000, DX; VPBROADCASTD DX, Z22; MOVL $0x4b000020, DX; VPBROADCASTD DX, Z23

#define RUN256(PLANE) \
	SCALE256; \
	MOVL 256(R9), DX; ADDL 260(R9), DX; \
	RUN512(PLANE); \
	ADDQ $512, DI; ADDQ $32, BX; ADDQ $8, R9

// func curve32AVX512(p *curveProduct)
TEXT ·curve32AVX512(SB), NOSPLIT, $0-8
	BEGIN512

block:
	FETCH8
	BLOCK32(PLANE512)
	DECQ CX
	JNZ  block
	END512
	RET

// func curve32VBMI(p *curveProduct)
TEXT ·curve32VBMI(SB), NOSPLIT, $0-8
	BEGIN512

block:
	FETCH8
	BLOCK32(PLANEVBMI)
	DECQ CX
	JNZ  block
	END512
	RET

// func curve256AVX512(p *curveProduct)
TEXT ·curve256AVX512(SB), NOSPLIT, $0-8
	BEGIN512
	CONSTANTS256

block:
	BEGIN256

run:
	FETCH8
	RUN256(PLANE512)
	DECL R10
	JNZ  run
	ADDQ $320, R9
	DECQ CX
	JNZ  block
	END512
	RET

// func curve256VBMI(p *curveProduct)
TEXT ·curve256VBMI(SB), NOSPLIT, $0-8
	BEGIN512
	CONSTANTS256

block:
	BEGIN256

run:
	FETCH8
	RUN256(PLANEVBMI)
	DECL R10
	JNZ  run
	ADDQ $320, R9
	DECQ CX
	JNZ  block
	END512
	RET

DATA ·curveOnes<>+0(SB)/8, $0x0001000100010001
DATA ·curveOnes<>+8(SB)/8, $0x0001000100010001
DATA ·curveOnes<>+16(SB)/8, $0x0001000100010001
DATA ·curveOnes<>+24(SB)/8, $0x0001000100010001
GLOBL ·curveOnes<>(SB), RODATA|NOPTR, $32

// POINTS2 adds the products of eight rows' points, whose numbers are in N, with the activations X to S: the point's sign
// moves to the activation.
#define POINTS2(N, X, S) \
	VPSHUFB N, Y13, Y12; VPSIGNB Y12, X, Y12; VPSHUFB N, Y14, N; VPMADDUBSW Y12, N, N; \
	VPMADDWD ·curveOnes<>(SB), N, N; VPADDD N, S, S

#define ROWS2(at, S) \
	VMOVDQU at(DI), Y6; VPAND Y15, Y6, Y7; VPSRLW $4, Y6, Y6; VPAND Y15, Y6, Y6; POINTS2(Y7, Y4, S); POINTS2(Y6, Y5, S)

#define PLANE2(q) \
	VPBROADCASTD (4*q)(BX), Y4; VPBROADCASTD (4*q+16)(BX), Y5; \
	ROWS2((128*q), Y0); ROWS2((128*q+32), Y1); ROWS2((128*q+64), Y2); ROWS2((128*q+96), Y3)

// FETCH2 asks for the next 576 bytes 9 KiB ahead, for the L2 cache, unless AHEAD is 0: see fetchAhead.
#define FETCH2 \
	CMPQ AHEAD(SI), $0; JE none; \
	PREFETCHT1 9216(DI); PREFETCHT1 9280(DI); PREFETCHT1 9344(DI); PREFETCHT1 9408(DI); PREFETCHT1 9472(DI); \
	PREFETCHT1 9536(DI); PREFETCHT1 9600(DI); PREFETCHT1 9664(DI); PREFETCHT1 9728(DI); none:

// PRODUCTS2 leaves the sums of 32 weights of 32 rows in Y0 … Y3.
#define PRODUCTS2 \
	VPXOR Y0, Y0, Y0; VPXOR Y1, Y1, Y1; VPXOR Y2, Y2, Y2; VPXOR Y3, Y3, Y3; \
	PLANE2(0); PLANE2(1); PLANE2(2); PLANE2(3)

// ADD2 adds sums times the scales in Y4 and the activations' in Y12.
#define ADD2(S, A) VCVTDQ2PS S, S; VMULPS Y4, Y12, Y5; VFMADD231PS S, Y5, A

#define BEGIN2 \
	BEGIN; VBROADCASTI128 16(AX), Y13; VBROADCASTI128 32(AX), Y14; \
	VPCMPEQB Y15, Y15, Y15; VPSRLW $12, Y15, Y15; VPSLLW $8, Y15, Y0; VPOR Y0, Y15, Y15; \
	VMOVUPS 0(R11), Y8; VMOVUPS 32(R11), Y9; VMOVUPS 64(R11), Y10; VMOVUPS 96(R11), Y11

#define END2 \
	VMOVUPS Y8, 0(R11); VMOVUPS Y9, 32(R11); VMOVUPS Y10, 64(R11); VMOVUPS Y11, 96(R11); VZEROUPPER

// func curve32AVX2(p *curveProduct)
TEXT ·curve32AVX2(SB), NOSPLIT, $0-8
	BEGIN2

block:
	FETCH2
	ADDQ $64, DI
	MOVQ R9, BX
	PRODUCTS2
	VBROADCASTSS 32(R9), Y12
	VCVTPH2PS -64(DI), Y4
	ADD2(Y0, Y8)
	VCVTPH2PS -48(DI), Y4
	ADD2(Y1, Y9)
	VCVTPH2PS -32(DI), Y4
	ADD2(Y2, Y10)
	VCVTPH2PS -16(DI), Y4
	ADD2(Y3, Y11)
	ADDQ $512, DI
	ADDQ $40, R9
	DECQ CX
	JNZ  block
	END2
	RET

// func curve256AVX2(p *curveProduct)
//
// Runs of a super-block, whose scales are in memory.
TEXT ·curve256AVX2(SB), NOSPLIT, $0-8
	BEGIN2
	MOVQ SCALES(SI), R10
	MOVQ R9, BX

run:
	FETCH2
	PRODUCTS2
	VBROADCASTSS 368(R9), Y12
	VMOVUPS 0(R10), Y4
	ADD2(Y0, Y8)
	VMOVUPS 32(R10), Y4
	ADD2(Y1, Y9)
	VMOVUPS 64(R10), Y4
	ADD2(Y2, Y10)
	VMOVUPS 96(R10), Y4
	ADD2(Y3, Y11)
	ADDQ $512, DI
	ADDQ $128, R10
	ADDQ $32, BX
	DECQ CX
	JNZ  run
	END2
	RET
