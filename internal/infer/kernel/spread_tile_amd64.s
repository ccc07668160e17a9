#include "textflag.h"

// The kernels of this file multiply a spread block with four columns at a time: weights are loaded once for all of them.
// What is added in which order is as in those for one column (spread_amd64.s).

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
#define NEXT 88

// STARTED starts a column's sums of run R14 from −128·Σx of its 16 or 32 activations.
#define STARTED(X, S, T, one, have) \
	MOVQ START(SI), AX; ADDQ X, AX; CMPQ STARTS(SI), $1; JEQ one; \
	MOVL (AX)(R14*8), CX; ADDL 4(AX)(R14*8), CX; JMP have; \
one: MOVL (AX)(R14*4), CX; \
have: VPBROADCASTD CX, S; VMOVDQA32 S, T

#define DOT(X, S, T) VPBROADCASTD (X)(BX*1), Z26; VPDPBUSD Z26, Z24, S; VPDPBUSD Z26, Z25, T

#define SCALED(F, S, T, A, B) \
	VCVTDQ2PS S, S; VCVTDQ2PS T, T; VMULPS Z24, F, Z26; VMULPS Z25, F, Z27; VFMADD231PS S, Z26, A; VFMADD231PS T, Z27, B

// LEASTOF subtracts minima, in Z24 and Z25, times the sum of a column's activations.
#define LEASTOF(X, F, A, B) \
	MOVQ START(SI), AX; ADDQ X, AX; MOVLQSX (AX)(R14*4), AX; NEGQ AX; SARQ $7, AX; \
	VXORPS X26, X26, X26; VCVTSI2SSL AX, X26, X26; VMULSS F, X26, X26; VBROADCASTSS X26, Z26; \
	VFNMADD231PS Z24, Z26, A; VFNMADD231PS Z25, Z26, B

#define LOADSUM(i, A, B) MOVQ (16*i+8)(DI), AX; VMOVUPS 0(AX), A; VMOVUPS 64(AX), B
#define STORESUM(i, A, B) MOVQ (16*i+8)(DI), AX; VMOVUPS A, 0(AX); VMOVUPS B, 64(AX)

// func multiplySpread4AVX512(p *spreadProduct)
//
// R9, R11, R13 and DX are the columns, Z8 … Z15 their sums of floats, Z16 … Z23 of integers, Z28 … Z31 their scales.
TEXT ·multiplySpread4AVX512(SB), NOSPLIT, $0-8
	MOVQ p+0(FP), SI
	MOVQ COLUMNS(SI), DI
	MOVQ COUNT(SI), R15

four:
	MOVQ 0(DI), R9
	MOVQ 16(DI), R11
	MOVQ 32(DI), R13
	MOVQ 48(DI), DX
	LOADSUM(0, Z8, Z9)
	LOADSUM(1, Z10, Z11)
	LOADSUM(2, Z12, Z13)
	LOADSUM(3, Z14, Z15)
	MOVQ FACTOR(SI), AX
	VBROADCASTSS (R9)(AX*1), Z28
	VBROADCASTSS (R11)(AX*1), Z29
	VBROADCASTSS (R13)(AX*1), Z30
	VBROADCASTSS (DX)(AX*1), Z31
	MOVQ QUADS(SI), R8
	MOVQ SCALE(SI), R10
	MOVQ LEAST(SI), R12
	XORL BX, BX           // byte of the activations
	XORL R14, R14         // number of the run

run:
	CMPQ NEXT(SI), $0
	JE   fetched
	CMPQ R15, $4
	JEQ  fetched
	MOVQ 64(DI), AX       // a line of each of the next four columns
	PREFETCHT0 (AX)(BX*2)
	MOVQ 80(DI), AX
	PREFETCHT0 (AX)(BX*2)
	MOVQ 96(DI), AX
	PREFETCHT0 (AX)(BX*2)
	MOVQ 112(DI), AX
	PREFETCHT0 (AX)(BX*2)

fetched:
	VPXORD Z16, Z16, Z16
	VPXORD Z17, Z17, Z17
	VPXORD Z18, Z18, Z18
	VPXORD Z19, Z19, Z19
	VPXORD Z20, Z20, Z20
	VPXORD Z21, Z21, Z21
	VPXORD Z22, Z22, Z22
	VPXORD Z23, Z23, Z23
	TESTQ R12, R12
	JNZ  started
	STARTED(R9, Z16, Z17, one0, have0)
	STARTED(R11, Z18, Z19, one1, have1)
	STARTED(R13, Z20, Z21, one2, have2)
	STARTED(DX, Z22, Z23, one3, have3)

started:
	MOVQ LENGTH(SI), CX

quads:
	VMOVDQU32 0(R8), Z24
	VMOVDQU32 64(R8), Z25
	DOT(R9, Z16, Z17)
	DOT(R11, Z18, Z19)
	DOT(R13, Z20, Z21)
	DOT(DX, Z22, Z23)
	ADDQ $4, BX
	ADDQ $128, R8
	DECQ CX
	JNZ  quads
	VMOVUPS 0(R10), Z24
	VMOVUPS 64(R10), Z25
	SCALED(Z28, Z16, Z17, Z8, Z9)
	SCALED(Z29, Z18, Z19, Z10, Z11)
	SCALED(Z30, Z20, Z21, Z12, Z13)
	SCALED(Z31, Z22, Z23, Z14, Z15)
	TESTQ R12, R12
	JZ   next
	VMOVUPS 0(R12), Z24
	VMOVUPS 64(R12), Z25
	LEASTOF(R9, X28, Z8, Z9)
	LEASTOF(R11, X29, Z10, Z11)
	LEASTOF(R13, X30, Z12, Z13)
	LEASTOF(DX, X31, Z14, Z15)
	ADDQ $128, R12

next:
	ADDQ $128, R10
	INCQ R14
	CMPQ R14, RUNS(SI)
	JNE  run
	STORESUM(0, Z8, Z9)
	STORESUM(1, Z10, Z11)
	STORESUM(2, Z12, Z13)
	STORESUM(3, Z14, Z15)
	ADDQ $64, DI
	SUBQ $4, R15
	JNZ  four
	VZEROUPPER
	RET

// SIGNS leaves a vector of weights less 128 in W, and their magnitudes in M.
#define SIGNS(at, W, M) VPXOR at(R8), Y14, W; VPABSB W, M

// MOVED adds the products of two vectors of weights (Y8 and Y10, magnitudes Y9 and Y11) with four activations of a column:
// the sign of a weight moves to the activation.
#define MOVED(X, S, T) \
	VPBROADCASTD (X)(BX*1), Y12; \
	VPSIGNB Y8, Y12, Y13; VPSIGNB Y10, Y12, Y12; VPMADDUBSW Y13, Y9, Y13; VPMADDUBSW Y12, Y11, Y12; \
	VPMADDWD Y15, Y13, Y13; VPMADDWD Y15, Y12, Y12; VPADDD Y13, S, S; VPADDD Y12, T, T

// FINISH adds a run's sums of column i, whose activations are at X, to its sums of floats at AX. Y8 and Y10 are scales.
#define FINISH(i, X, S, T) \
	MOVQ FACTOR(SI), AX; VBROADCASTSS (X)(AX*1), Y12; \
	MOVQ (16*i+8)(DI), AX; ADDQ half-8(SP), AX; \
	VCVTDQ2PS S, S; VCVTDQ2PS T, T; VMULPS Y8, Y12, Y13; VMULPS Y10, Y12, Y12; \
	VFMADD213PS 0(AX), Y13, S; VFMADD213PS 32(AX), Y12, T; VMOVUPS S, 0(AX); VMOVUPS T, 32(AX)

// func multiplySpread4AVX2(p *spreadProduct)
//
// For formats without minima. Sixteen rows at a time. R9, R11, R13 and DX are the columns, Y0 … Y7 their sums of integers.
TEXT ·multiplySpread4AVX2(SB), NOSPLIT, $8-8
	MOVQ p+0(FP), SI
	MOVQ COLUMNS(SI), DI
	MOVQ COUNT(SI), R15
	VPCMPEQW Y15, Y15, Y15
	VPSLLW $15, Y15, Y14
	VPSRLW $8, Y14, Y13
	VPOR Y13, Y14, Y14   // bytes of 0x80
	VPSRLW $15, Y15, Y15 // words of 1

four:
	MOVQ $0, half-8(SP)  // byte of the rows
	MOVQ 0(DI), R9
	MOVQ 16(DI), R11
	MOVQ 32(DI), R13
	MOVQ 48(DI), DX

rows:
	MOVQ half-8(SP), AX
	MOVQ QUADS(SI), R8
	ADDQ AX, R8
	MOVQ SCALE(SI), R10
	ADDQ AX, R10
	XORL BX, BX          // byte of the activations
	XORL R14, R14        // number of the run

run:
	VPXOR Y0, Y0, Y0
	VPXOR Y1, Y1, Y1
	VPXOR Y2, Y2, Y2
	VPXOR Y3, Y3, Y3
	VPXOR Y4, Y4, Y4
	VPXOR Y5, Y5, Y5
	VPXOR Y6, Y6, Y6
	VPXOR Y7, Y7, Y7
	MOVQ LENGTH(SI), CX

quads:
	SIGNS(0, Y8, Y9)
	SIGNS(32, Y10, Y11)
	MOVED(R9, Y0, Y1)
	MOVED(R11, Y2, Y3)
	MOVED(R13, Y4, Y5)
	MOVED(DX, Y6, Y7)
	ADDQ $4, BX
	ADDQ $128, R8
	DECQ CX
	JNZ  quads
	VMOVUPS 0(R10), Y8
	VMOVUPS 32(R10), Y10
	FINISH(0, R9, Y0, Y1)
	FINISH(1, R11, Y2, Y3)
	FINISH(2, R13, Y4, Y5)
	FINISH(3, DX, Y6, Y7)
	ADDQ $128, R10
	INCQ R14
	CMPQ R14, RUNS(SI)
	JNE  run
	ADDQ $64, half-8(SP)
	CMPQ half-8(SP), $128
	JNE  rows
	ADDQ $64, DI
	SUBQ $4, R15
	JNZ  four
	VZEROUPPER
	RET

// Offsets from the quads of a spread: weights less 128, and their magnitudes.
#define SIGNED 12288
#define MAGNITUDE 20480
#define SMALL 80

// func signsAVX2(q *[64][panelRows][4]uint8, quads int64)
TEXT ·signsAVX2(SB), NOSPLIT, $0-16
	MOVQ q+0(FP), R8
	MOVQ quads+8(FP), CX
	VPCMPEQW Y15, Y15, Y15
	VPSLLW $15, Y15, Y14
	VPSRLW $8, Y14, Y13
	VPOR Y13, Y14, Y14   // bytes of 0x80

quads:
	VPXOR 0(R8), Y14, Y0
	VPXOR 32(R8), Y14, Y1
	VPXOR 64(R8), Y14, Y2
	VPXOR 96(R8), Y14, Y3
	VMOVDQU Y0, (SIGNED+0)(R8)
	VMOVDQU Y1, (SIGNED+32)(R8)
	VMOVDQU Y2, (SIGNED+64)(R8)
	VMOVDQU Y3, (SIGNED+96)(R8)
	VPABSB Y0, Y0
	VPABSB Y1, Y1
	VPABSB Y2, Y2
	VPABSB Y3, Y3
	VMOVDQU Y0, (MAGNITUDE+0)(R8)
	VMOVDQU Y1, (MAGNITUDE+32)(R8)
	VMOVDQU Y2, (MAGNITUDE+64)(R8)
	VMOVDQU Y3, (MAGNITUDE+96)(R8)
	ADDQ $128, R8
	DECQ CX
	JNZ  quads
	VZEROUPPER
	RET

// PRODUCTS gives the products of quad i's weights of eight rows with the activations in X, in words in P.
#define PRODUCTS(i, at, M, X, P) VPSIGNB (SIGNED+128*i+at)(R8), X, P; VPMADDUBSW P, M, P

// WIDE adds words to sums.
#define WIDE(P, S) VPMADDWD Y15, P, P; VPADDD P, S, S

// TWO adds the products of two quads, whose magnitudes are in Y8 … Y11, with a column's activations. No sum of two
// products is larger than a word, but one of four may be.
#define TWO(X, S, T) \
	VPBROADCASTD (X)(BX*1), Y12; VPBROADCASTD 4(X)(BX*1), Y14; \
	PRODUCTS(0, 0, Y8, Y12, Y13); WIDE(Y13, S); \
	PRODUCTS(0, 32, Y9, Y12, Y12); WIDE(Y12, T); \
	PRODUCTS(1, 0, Y10, Y14, Y13); WIDE(Y13, S); \
	PRODUCTS(1, 32, Y11, Y14, Y14); WIDE(Y14, T)

// TWOSMALL is TWO for magnitudes of at most 64, where sums of four products are no larger.
#define TWOSMALL(X, S, T) \
	VPBROADCASTD (X)(BX*1), Y12; VPBROADCASTD 4(X)(BX*1), Y14; \
	PRODUCTS(0, 0, Y8, Y12, Y13); PRODUCTS(1, 0, Y10, Y14, Y14); VPADDW Y14, Y13, Y13; WIDE(Y13, S); \
	VPBROADCASTD 4(X)(BX*1), Y14; \
	PRODUCTS(0, 32, Y9, Y12, Y12); PRODUCTS(1, 32, Y11, Y14, Y14); VPADDW Y14, Y12, Y12; WIDE(Y12, T)

#define MAGNITUDES \
	VMOVDQU (MAGNITUDE+0)(R8), Y8; VMOVDQU (MAGNITUDE+32)(R8), Y9; \
	VMOVDQU (MAGNITUDE+128)(R8), Y10; VMOVDQU (MAGNITUDE+160)(R8), Y11

// func multiplySigned4AVX2(p *spreadProduct)
//
// This is multiplySpread4AVX2 for weights that signsAVX2 has gone through.
TEXT ·multiplySigned4AVX2(SB), NOSPLIT, $8-8
	MOVQ p+0(FP), SI
	MOVQ COLUMNS(SI), DI
	MOVQ COUNT(SI), R15
	VPCMPEQW Y15, Y15, Y15
	VPSRLW $15, Y15, Y15 // words of 1

four:
	MOVQ $0, half-8(SP)  // byte of the rows
	MOVQ 0(DI), R9
	MOVQ 16(DI), R11
	MOVQ 32(DI), R13
	MOVQ 48(DI), DX

rows:
	MOVQ half-8(SP), AX
	MOVQ QUADS(SI), R8
	ADDQ AX, R8
	MOVQ SCALE(SI), R10
	ADDQ AX, R10
	XORL BX, BX          // byte of the activations
	XORL R14, R14        // number of the run

run:
	VPXOR Y0, Y0, Y0
	VPXOR Y1, Y1, Y1
	VPXOR Y2, Y2, Y2
	VPXOR Y3, Y3, Y3
	VPXOR Y4, Y4, Y4
	VPXOR Y5, Y5, Y5
	VPXOR Y6, Y6, Y6
	VPXOR Y7, Y7, Y7
	MOVQ LENGTH(SI), CX
	CMPQ SMALL(SI), $0
	JNE  small

large:
	MAGNITUDES
	TWO(R9, Y0, Y1)
	TWO(R11, Y2, Y3)
	TWO(R13, Y4, Y5)
	TWO(DX, Y6, Y7)
	ADDQ $8, BX
	ADDQ $256, R8
	SUBQ $2, CX
	JNZ  large
	JMP  finish

small:
	MAGNITUDES
	TWOSMALL(R9, Y0, Y1)
	TWOSMALL(R11, Y2, Y3)
	TWOSMALL(R13, Y4, Y5)
	TWOSMALL(DX, Y6, Y7)
	ADDQ $8, BX
	ADDQ $256, R8
	SUBQ $2, CX
	JNZ  small

finish:
	VMOVUPS 0(R10), Y8
	VMOVUPS 32(R10), Y10
	FINISH(0, R9, Y0, Y1)
	FINISH(1, R11, Y2, Y3)
	FINISH(2, R13, Y4, Y5)
	FINISH(3, DX, Y6, Y7)
	ADDQ $128, R10
	INCQ R14
	CMPQ R14, RUNS(SI)
	JNE  run
	ADDQ $64, half-8(SP)
	CMPQ half-8(SP), $128
	JNE  rows
	ADDQ $64, DI
	SUBQ $4, R15
	JNZ  four
	VZEROUPPER
	RET
