#include "textflag.h"

// Offsets in type block2.
#define QUADS 0
#define LENGTH 8
#define RUNS 16
#define COUNT 24
#define SCALE 32
#define LEAST 40
#define COLUMNS 48
#define START 56
#define SHIFT 64
#define FACTOR 72
#define SUMS 80
#define SIGNED 88

// TIMES multiplies eight rows' weights with the four activations in Y4. Weights are at most 63 (6 bits), or signed with the
// sign moved to the activations: pairs of products stay below 2¹⁵ (128 · 127 · 2 = 32512).
#define TIMES(off, S) \
	VMOVDQU off(R8), Y5; VPMADDUBSW Y4, Y5, Y5; VPMADDWD Y15, Y5, Y5; VPADDD Y5, S, S

#define TIMESSIGNED(off, S) \
	VMOVDQU off(R8), Y5; VPABSB Y5, Y6; VPSIGNB Y5, Y4, Y7; VPMADDUBSW Y7, Y6, Y6; VPMADDWD Y15, Y6, Y6; VPADDD Y6, S, S

#define SCALED(off, S, A) \
	VCVTDQ2PS S, S; VMULPS off(R10), Y12, Y5; VFMADD231PS S, Y5, A

// func blockAVX2(b *block2)
//
// One block of 32 rows, spread out, times each column: eight rows a vector, four sums of integers and four of floats in
// registers; a broadcast of activations feeds four multiplications.
TEXT ·blockAVX2(SB), NOSPLIT, $0-8
	MOVQ b+0(FP), SI
	MOVQ COLUMNS(SI), DI
	MOVQ COUNT(SI), R15
	VPCMPEQW Y15, Y15, Y15
	VPSRLW $15, Y15, Y15 // words of 1
	VMOVQ SHIFT(SI), X14

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
	MOVQ START(SI), AX
	TESTQ AX, AX
	JLT  started
	ADDQ R9, AX
	VPBROADCASTD (AX)(R14*4), Y0
	VPSRAD X14, Y0, Y0

started:
	VMOVDQA Y0, Y1
	VMOVDQA Y0, Y2
	VMOVDQA Y0, Y3
	MOVQ LENGTH(SI), CX
	CMPQ SIGNED(SI), $0
	JNE  signed

unsigned:
	VPBROADCASTD (BX), Y4
	TIMES(0, Y0)
	TIMES(32, Y1)
	TIMES(64, Y2)
	TIMES(96, Y3)
	ADDQ $4, BX
	ADDQ $128, R8
	DECQ CX
	JNZ  unsigned
	JMP  add

signed:
	VPBROADCASTD (BX), Y4
	TIMESSIGNED(0, Y0)
	TIMESSIGNED(32, Y1)
	TIMESSIGNED(64, Y2)
	TIMESSIGNED(96, Y3)
	ADDQ $4, BX
	ADDQ $128, R8
	DECQ CX
	JNZ  signed

add:
	SCALED(0, Y0, Y8)
	SCALED(32, Y1, Y9)
	SCALED(64, Y2, Y10)
	SCALED(96, Y3, Y11)
	TESTQ R12, R12
	JZ   next
	MOVQ SUMS(SI), AX
	ADDQ R9, AX
	MOVWLSX (AX)(R14*2), AX
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

// Offsets in type spread2.
#define TO 0
#define LOW 8
#define HIGH 16
#define LOWSHIFT 24
#define HIGHSHIFT 32
#define UP 40
#define HIGHSTEP 48
#define SHIFTSTEP 56
#define LOWMASK 64
#define HIGHMASK 68
#define FLIP 72

#define FIELD(off) \
	VMOVDQU off(R8), Y0; VPSRLD X10, Y0, Y0; VPAND Y13, Y0, Y0; \
	VMOVDQU off(R9), Y1; VPSRLD X11, Y1, Y1; VPAND Y14, Y1, Y1; VPSLLD X12, Y1, Y1; \
	VPOR Y1, Y0, Y0; VPXOR Y15, Y0, Y0; VMOVDQU Y0, off(DI)

// func spreadAVX2(s *spread2)
//
// Four quads of 32 rows: a field of each byte, and a second one above it.
TEXT ·spreadAVX2(SB), NOSPLIT, $0-8
	MOVQ s+0(FP), SI
	MOVQ TO(SI), DI
	MOVQ LOW(SI), R8
	MOVQ HIGH(SI), R9
	MOVQ HIGHSHIFT(SI), AX
	VMOVQ LOWSHIFT(SI), X10
	VMOVQ UP(SI), X12
	VPBROADCASTD LOWMASK(SI), Y13
	VPBROADCASTD HIGHMASK(SI), Y14
	VPBROADCASTD FLIP(SI), Y15
	MOVQ $4, CX
loop:
	VMOVQ AX, X11
	FIELD(0)
	FIELD(32)
	FIELD(64)
	FIELD(96)
	ADDQ $128, DI
	ADDQ $128, R8
	ADDQ HIGHSTEP(SI), R9
	ADDQ SHIFTSTEP(SI), AX
	DECQ CX
	JNZ  loop
	VZEROUPPER
	RET

// func floatAVX2(y, w, x *float32, n int64)
//
// 32 rows of F32 times one column: four vectors of sums.
TEXT ·floatAVX2(SB), NOSPLIT, $0-32
	MOVQ y+0(FP), DI
	MOVQ w+8(FP), SI
	MOVQ x+16(FP), BX
	MOVQ n+24(FP), CX
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	VXORPS Y2, Y2, Y2
	VXORPS Y3, Y3, Y3
loop:
	VBROADCASTSS (BX), Y4
	VFMADD231PS 0(SI), Y4, Y0
	VFMADD231PS 32(SI), Y4, Y1
	VFMADD231PS 64(SI), Y4, Y2
	VFMADD231PS 96(SI), Y4, Y3
	ADDQ $128, SI
	ADDQ $4, BX
	DECQ CX
	JNZ  loop
	VMOVUPS Y0, 0(DI)
	VMOVUPS Y1, 32(DI)
	VMOVUPS Y2, 64(DI)
	VMOVUPS Y3, 96(DI)
	VZEROUPPER
	RET

// func halfAVX2(y *float32, w *uint16, x *float32, n int64)
//
// The same of F16.
TEXT ·halfAVX2(SB), NOSPLIT, $0-32
	MOVQ y+0(FP), DI
	MOVQ w+8(FP), SI
	MOVQ x+16(FP), BX
	MOVQ n+24(FP), CX
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	VXORPS Y2, Y2, Y2
	VXORPS Y3, Y3, Y3
loop:
	VBROADCASTSS (BX), Y4
	VCVTPH2PS 0(SI), Y5
	VCVTPH2PS 16(SI), Y6
	VCVTPH2PS 32(SI), Y7
	VCVTPH2PS 48(SI), Y8
	VFMADD231PS Y5, Y4, Y0
	VFMADD231PS Y6, Y4, Y1
	VFMADD231PS Y7, Y4, Y2
	VFMADD231PS Y8, Y4, Y3
	ADDQ $64, SI
	ADDQ $4, BX
	DECQ CX
	JNZ  loop
	VMOVUPS Y0, 0(DI)
	VMOVUPS Y1, 32(DI)
	VMOVUPS Y2, 64(DI)
	VMOVUPS Y3, 96(DI)
	VZEROUPPER
	RET

#define BRAIN(off, R) VPMOVZXWD off(SI), R; VPSLLD $16, R, R

// func brainAVX2(y *float32, w *uint16, x *float32, n int64)
//
// The same of BF16.
TEXT ·brainAVX2(SB), NOSPLIT, $0-32
	MOVQ y+0(FP), DI
	MOVQ w+8(FP), SI
	MOVQ x+16(FP), BX
	MOVQ n+24(FP), CX
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	VXORPS Y2, Y2, Y2
	VXORPS Y3, Y3, Y3
loop:
	VBROADCASTSS (BX), Y4
	BRAIN(0, Y5)
	BRAIN(16, Y6)
	BRAIN(32, Y7)
	BRAIN(48, Y8)
	VFMADD231PS Y5, Y4, Y0
	VFMADD231PS Y6, Y4, Y1
	VFMADD231PS Y7, Y4, Y2
	VFMADD231PS Y8, Y4, Y3
	ADDQ $64, SI
	ADDQ $4, BX
	DECQ CX
	JNZ  loop
	VMOVUPS Y0, 0(DI)
	VMOVUPS Y1, 32(DI)
	VMOVUPS Y2, 64(DI)
	VMOVUPS Y3, 96(DI)
	VZEROUPPER
	RET
