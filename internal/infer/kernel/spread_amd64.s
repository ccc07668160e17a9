#include "textflag.h"

// Offsets in type spreadProduct.
#define QUADS 0
#define SCALE 8
#define LEAST 16
#define COLUMNS 24
#define COUNT 32
#define RUNS 40
#define LENGTH 48
#define START 56
#define STARTS 64
#define FACTOR 72

// STARTSUM leaves in AX what the sums of run R14 start from: −128·Σx of 16 or 32 activations.
#define STARTSUM(one) \
	MOVQ START(SI), AX; \
	ADDQ R9, AX; \
	CMPQ STARTS(SI), $1; \
	JEQ  one

// PRODUCTS adds the products of eight rows' signed weights, 128 added (Y14), with the four activations in Y4: the sign of a
// weight moves to the activation, and pairs of products stay below 2¹⁵ (127 · 127 · 2 = 32258).
#define PRODUCTS(off, S) \
	VPXOR off(R8), Y14, Y5; VPABSB Y5, Y6; VPSIGNB Y5, Y4, Y7; VPMADDUBSW Y7, Y6, Y6; VPMADDWD Y15, Y6, Y6; VPADDD Y6, S, S

// SMALLPRODUCTS is the same with unsigned weights of at most 63.
#define SMALLPRODUCTS(off, S) \
	VMOVDQU off(R8), Y5; VPMADDUBSW Y4, Y5, Y5; VPMADDWD Y15, Y5, Y5; VPADDD Y5, S, S

#define SCALED(off, S, A) \
	VCVTDQ2PS S, S; VMULPS off(R10), Y12, Y5; VFMADD231PS S, Y5, A

// func multiplySpreadAVX2(p *spreadProduct)
//
// Eight rows a vector: four sums of integers (Y0–Y3) and four of floats (Y8–Y11).
TEXT ·multiplySpreadAVX2(SB), NOSPLIT, $0-8
	MOVQ p+0(FP), SI
	MOVQ COLUMNS(SI), DI
	MOVQ COUNT(SI), R15
	VPCMPEQW Y15, Y15, Y15
	VPSLLW $15, Y15, Y14
	VPSRLW $8, Y14, Y13
	VPOR Y13, Y14, Y14   // bytes of 0x80
	VPSRLW $15, Y15, Y15 // words of 1

column:
	MOVQ 0(DI), R9       // activations
	MOVQ 8(DI), R11      // sums of floats
	VMOVUPS 0(R11), Y8
	VMOVUPS 32(R11), Y9
	VMOVUPS 64(R11), Y10
	VMOVUPS 96(R11), Y11
	MOVQ FACTOR(SI), AX
	VBROADCASTSS (R9)(AX*1), Y12
	MOVQ QUADS(SI), R8
	MOVQ SCALE(SI), R10
	MOVQ LEAST(SI), R12
	MOVQ R9, BX          // activations of the run
	XORL R14, R14        // number of the run

run:
	VPXOR Y0, Y0, Y0
	VPXOR Y1, Y1, Y1
	VPXOR Y2, Y2, Y2
	VPXOR Y3, Y3, Y3
	MOVQ LENGTH(SI), CX
	TESTQ R12, R12
	JNZ  small

signed:
	VPBROADCASTD (BX), Y4
	PRODUCTS(0, Y0)
	PRODUCTS(32, Y1)
	PRODUCTS(64, Y2)
	PRODUCTS(96, Y3)
	ADDQ $4, BX
	ADDQ $128, R8
	DECQ CX
	JNZ  signed
	JMP  add

small:
	VPBROADCASTD (BX), Y4
	SMALLPRODUCTS(0, Y0)
	SMALLPRODUCTS(32, Y1)
	SMALLPRODUCTS(64, Y2)
	SMALLPRODUCTS(96, Y3)
	ADDQ $4, BX
	ADDQ $128, R8
	DECQ CX
	JNZ  small

add:
	SCALED(0, Y0, Y8)
	SCALED(32, Y1, Y9)
	SCALED(64, Y2, Y10)
	SCALED(96, Y3, Y11)
	TESTQ R12, R12
	JZ   next
	MOVQ START(SI), AX
	ADDQ R9, AX
	MOVLQSX (AX)(R14*4), AX
	NEGQ AX
	SARQ $7, AX
	VXORPS X13, X13, X13
	VCVTSI2SSL AX, X13, X13
	VMULSS X12, X13, X13
	VBROADCASTSS X13, Y13
	VFNMADD231PS 0(R12), Y13, Y8
	VFNMADD231PS 32(R12), Y13, Y9
	VFNMADD231PS 64(R12), Y13, Y10
	VFNMADD231PS 96(R12), Y13, Y11
	ADDQ $128, R12

next:
	ADDQ $128, R10
	INCQ R14
	CMPQ R14, RUNS(SI)
	JNE  run
	VMOVUPS Y8, 0(R11)
	VMOVUPS Y9, 32(R11)
	VMOVUPS Y10, 64(R11)
	VMOVUPS Y11, 96(R11)
	ADDQ $16, DI
	DECQ R15
	JNZ  column
	VZEROUPPER
	RET

// func multiplySpreadAVX512(p *spreadProduct)
//
// Sixteen rows a vector. Even and odd quads have sums of their own (Z0, Z1 and Z2, Z3), as VPDPBUSD takes four cycles.
TEXT ·multiplySpreadAVX512(SB), NOSPLIT, $0-8
	MOVQ p+0(FP), SI
	MOVQ COLUMNS(SI), DI
	MOVQ COUNT(SI), R15

column:
	MOVQ 0(DI), R9       // activations
	MOVQ 8(DI), R11      // sums of floats
	VMOVUPS 0(R11), Z8
	VMOVUPS 64(R11), Z9
	MOVQ FACTOR(SI), AX
	VBROADCASTSS (R9)(AX*1), Z12
	MOVQ QUADS(SI), R8
	MOVQ SCALE(SI), R10
	MOVQ LEAST(SI), R12
	MOVQ R9, BX          // activations of the run
	XORL R14, R14        // number of the run

run:
	VPXORD Z0, Z0, Z0
	VPXORD Z2, Z2, Z2
	VPXORD Z3, Z3, Z3
	MOVQ LENGTH(SI), CX
	SHRQ $1, CX
	TESTQ R12, R12
	JNZ  started
	STARTSUM(one)
	MOVL (AX)(R14*8), DX
	ADDL 4(AX)(R14*8), DX
	JMP  have

one:
	MOVL (AX)(R14*4), DX

have:
	VPBROADCASTD DX, Z0

started:
	VMOVDQA32 Z0, Z1

quads:
	VMOVDQU32 0(R8), Z4
	VMOVDQU32 64(R8), Z5
	VMOVDQU32 128(R8), Z6
	VMOVDQU32 192(R8), Z7
	VPDPBUSD.BCST 0(BX), Z4, Z0
	VPDPBUSD.BCST 0(BX), Z5, Z1
	VPDPBUSD.BCST 4(BX), Z6, Z2
	VPDPBUSD.BCST 4(BX), Z7, Z3
	ADDQ $8, BX
	ADDQ $256, R8
	DECQ CX
	JNZ  quads
	VPADDD Z2, Z0, Z0
	VPADDD Z3, Z1, Z1
	VCVTDQ2PS Z0, Z0
	VCVTDQ2PS Z1, Z1
	VMULPS 0(R10), Z12, Z4
	VMULPS 64(R10), Z12, Z5
	VFMADD231PS Z0, Z4, Z8
	VFMADD231PS Z1, Z5, Z9
	TESTQ R12, R12
	JZ   next
	MOVQ START(SI), AX
	ADDQ R9, AX
	MOVLQSX (AX)(R14*4), AX
	NEGQ AX
	SARQ $7, AX
	VXORPS X13, X13, X13
	VCVTSI2SSL AX, X13, X13
	VMULSS X12, X13, X13
	VBROADCASTSS X13, Z13
	VFNMADD231PS 0(R12), Z13, Z8
	VFNMADD231PS 64(R12), Z13, Z9
	ADDQ $128, R12

next:
	ADDQ $128, R10
	INCQ R14
	CMPQ R14, RUNS(SI)
	JNE  run
	VMOVUPS Z8, 0(R11)
	VMOVUPS Z9, 64(R11)
	ADDQ $16, DI
	DECQ R15
	JNZ  column
	VZEROUPPER
	RET

// NIBBLES looks eight rows' nibbles of a plane up: the low ones are quad j, the high ones quad j+4.
#define NIBBLES(off) \
	VMOVDQU off(BX), Y0; VPSRLW $4, Y0, Y1; VPAND Y15, Y0, Y0; VPAND Y15, Y1, Y1; \
	VPSHUFB Y0, Y14, Y0; VPSHUFB Y1, Y14, Y1; VMOVDQU Y0, off(DI); VMOVDQU Y1, 512+off(DI)

#define NIBBLEPLANE(off) NIBBLES(off); NIBBLES(off+32); NIBBLES(off+64); NIBBLES(off+96)

// func nibblesAVX2(n *nibbles)
TEXT ·nibblesAVX2(SB), NOSPLIT, $0-8
	MOVQ n+0(FP), SI
	MOVQ 0(SI), DI
	MOVQ 8(SI), BX
	MOVQ 16(SI), AX
	VBROADCASTI128 (AX), Y14
	MOVQ 24(SI), CX
	VPCMPEQB Y15, Y15, Y15
	VPSRLW $12, Y15, Y15
	VPSLLW $8, Y15, Y0
	VPOR Y0, Y15, Y15 // bytes of 15

run:
	NIBBLEPLANE(0)
	NIBBLEPLANE(128)
	NIBBLEPLANE(256)
	NIBBLEPLANE(384)
	ADDQ $512, BX
	ADDQ $1024, DI
	DECQ CX
	JNZ  run
	VZEROUPPER
	RET

// func fifthBitsAVX2(q *[64][panelRows][4]uint8, bits *byte)
TEXT ·fifthBitsAVX2(SB), NOSPLIT, $0-16
	MOVQ q+0(FP), DI
	MOVQ bits+8(FP), SI
	VMOVDQU 0(SI), Y0
	VMOVDQU 32(SI), Y1
	VMOVDQU 64(SI), Y2
	VMOVDQU 96(SI), Y3
	VPCMPEQB Y15, Y15, Y15
	VPABSB Y15, Y15 // bytes of 1
	MOVQ $8, CX

quad:
	VPAND Y15, Y0, Y4
	VPAND Y15, Y1, Y5
	VPAND Y15, Y2, Y6
	VPAND Y15, Y3, Y7
	VPSLLD $4, Y4, Y4
	VPSLLD $4, Y5, Y5
	VPSLLD $4, Y6, Y6
	VPSLLD $4, Y7, Y7
	VPOR 0(DI), Y4, Y4
	VPOR 32(DI), Y5, Y5
	VPOR 64(DI), Y6, Y6
	VPOR 96(DI), Y7, Y7
	VMOVDQU Y4, 0(DI)
	VMOVDQU Y5, 32(DI)
	VMOVDQU Y6, 64(DI)
	VMOVDQU Y7, 96(DI)
	VPSRLD $1, Y0, Y0
	VPSRLD $1, Y1, Y1
	VPSRLD $1, Y2, Y2
	VPSRLD $1, Y3, Y3
	ADDQ $128, DI
	DECQ CX
	JNZ  quad
	VZEROUPPER
	RET

// HALVES splits eight words into binary16 numbers: the low ones widened in Y0, the high ones in Y1.
#define HALVES(off) \
	VMOVDQU off(SI), Y0; VPSRLD $16, Y0, Y1; VPSLLD $16, Y0, Y0; VPSRLD $16, Y0, Y0; \
	VEXTRACTI128 $1, Y0, X2; VPACKUSDW X2, X0, X0; VCVTPH2PS X0, Y0; \
	VEXTRACTI128 $1, Y1, X2; VPACKUSDW X2, X1, X1; VCVTPH2PS X1, Y1

// func splitScalesAVX2(scale, least *float32, dm *byte)
TEXT ·splitScalesAVX2(SB), NOSPLIT, $0-24
	MOVQ scale+0(FP), DI
	MOVQ least+8(FP), DX
	MOVQ dm+16(FP), SI
	VPCMPEQD Y15, Y15, Y15
	VPSLLD $31, Y15, Y15
	MOVQ $4, CX

rows:
	HALVES(0)
	VXORPS Y15, Y1, Y1
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, (DX)
	ADDQ $32, SI
	ADDQ $32, DI
	ADDQ $32, DX
	DECQ CX
	JNZ  rows
	VZEROUPPER
	RET

// IQ4SCALE gives the scale of run g of eight rows: four bits of Y4 and two of Y3, less 32, times Y0.
#define IQ4SCALE(g) \
	VPSRLD $(4*g), Y4, Y5; VPAND Y15, Y5, Y5; \
	VPSRLD $(16+2*g), Y3, Y6; VPAND Y14, Y6, Y6; VPSLLD $4, Y6, Y6; \
	VPOR Y6, Y5, Y5; VPSUBD Y13, Y5, Y5; VCVTDQ2PS Y5, Y5; VMULPS Y0, Y5, Y5; VMOVUPS Y5, (128*g)(DI)

// func scalesIQ4AVX2(scale *float32, planes *byte)
TEXT ·scalesIQ4AVX2(SB), NOSPLIT, $0-16
	MOVQ scale+0(FP), DI
	MOVQ planes+8(FP), SI
	VPCMPEQD Y15, Y15, Y15
	VPSRLD $30, Y15, Y14 // 3
	VPSRLD $31, Y15, Y13
	VPSLLD $5, Y13, Y13  // 32
	VPSRLD $28, Y15, Y15 // 15
	MOVQ $4, CX

rows:
	HALVES(0)
	VMOVDQU 0(SI), Y3
	VMOVDQU 128(SI), Y4
	IQ4SCALE(0)
	IQ4SCALE(1)
	IQ4SCALE(2)
	IQ4SCALE(3)
	IQ4SCALE(4)
	IQ4SCALE(5)
	IQ4SCALE(6)
	IQ4SCALE(7)
	ADDQ $32, SI
	ADDQ $32, DI
	DECQ CX
	JNZ  rows
	VZEROUPPER
	RET
