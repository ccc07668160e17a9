#include "textflag.h"

// Offsets in type interleaving.
#define DST 0
#define SRC 8
#define ROW 16
#define TIMES 24
#define FROMSTEP 32
#define TOSTEP 40
#define FLIP 48
#define STEP 56

#define LOADARGS \
	MOVQ a+0(FP), AX; \
	MOVQ DST(AX), DI; MOVQ SRC(AX), SI; MOVQ ROW(AX), DX; MOVQ TIMES(AX), CX; \
	MOVQ FROMSTEP(AX), R11; MOVQ TOSTEP(AX), R12; \
	LEAQ (DX)(DX*2), BX // three rows

// A ROWS16 macro turns sixteen rows from R8 into vectors whose words are one word of each row.
//
// Eight words: Zᵢ = row i | row i+4 and Z₄₊ᵢ = row 8+i | row 12+i, then words and pairs of words of four rows are
// brought together within 128-bit lanes (24 shuffles for 512 bytes in all), and last the lanes of Z₀ … Z₃ and Z₄ … Z₇.
#define ROWS16X8 \
	MOVQ R8, R9; \
	LEAQ (R8)(DX*4), R10; \
	VMOVDQU (R9), Y0; VINSERTI64X4 $1, (R10), Z0, Z0; \
	VMOVDQU (R9)(DX*1), Y1; VINSERTI64X4 $1, (R10)(DX*1), Z1, Z1; \
	VMOVDQU (R9)(DX*2), Y2; VINSERTI64X4 $1, (R10)(DX*2), Z2, Z2; \
	VMOVDQU (R9)(BX*1), Y3; VINSERTI64X4 $1, (R10)(BX*1), Z3, Z3; \
	LEAQ (R10)(DX*4), R9; \
	LEAQ (R9)(DX*4), R10; \
	VMOVDQU (R9), Y4; VINSERTI64X4 $1, (R10), Z4, Z4; \
	VMOVDQU (R9)(DX*1), Y5; VINSERTI64X4 $1, (R10)(DX*1), Z5, Z5; \
	VMOVDQU (R9)(DX*2), Y6; VINSERTI64X4 $1, (R10)(DX*2), Z6, Z6; \
	VMOVDQU (R9)(BX*1), Y7; VINSERTI64X4 $1, (R10)(BX*1), Z7, Z7; \
	LEAQ (R10)(DX*4), R8; \
	VPUNPCKLDQ Z1, Z0, Z8; VPUNPCKHDQ Z1, Z0, Z9; VPUNPCKLDQ Z3, Z2, Z10; VPUNPCKHDQ Z3, Z2, Z11; \
	VPUNPCKLDQ Z5, Z4, Z12; VPUNPCKHDQ Z5, Z4, Z13; VPUNPCKLDQ Z7, Z6, Z14; VPUNPCKHDQ Z7, Z6, Z15; \
	VPUNPCKLQDQ Z10, Z8, Z0; VPUNPCKHQDQ Z10, Z8, Z1; VPUNPCKLQDQ Z11, Z9, Z2; VPUNPCKHQDQ Z11, Z9, Z3; \
	VPUNPCKLQDQ Z14, Z12, Z4; VPUNPCKHQDQ Z14, Z12, Z5; VPUNPCKLQDQ Z15, Z13, Z6; VPUNPCKHQDQ Z15, Z13, Z7; \
	VSHUFI32X4 $0x88, Z4, Z0, Z8; VSHUFI32X4 $0xdd, Z4, Z0, Z12; \
	VSHUFI32X4 $0x88, Z5, Z1, Z9; VSHUFI32X4 $0xdd, Z5, Z1, Z13; \
	VSHUFI32X4 $0x88, Z6, Z2, Z10; VSHUFI32X4 $0xdd, Z6, Z2, Z14; \
	VSHUFI32X4 $0x88, Z7, Z3, Z11; VSHUFI32X4 $0xdd, Z7, Z3, Z15

// PUT stores plane i of rows at off.
#define PUT(i, off, Z) VPXORD Z31, Z, Z; VMOVDQU32 Z, (128*i+off)(DI)

// PUT8 stores eight planes that are R13 bytes apart. R14 is three times that.
#define PUT8(off) \
	LEAQ (DI)(R13*4), R9; \
	VPXORD Z31, Z8, Z8; VMOVDQU32 Z8, off(DI); VPXORD Z31, Z9, Z9; VMOVDQU32 Z9, off(DI)(R13*1); \
	VPXORD Z31, Z10, Z10; VMOVDQU32 Z10, off(DI)(R13*2); VPXORD Z31, Z11, Z11; VMOVDQU32 Z11, off(DI)(R14*1); \
	VPXORD Z31, Z12, Z12; VMOVDQU32 Z12, off(R9); VPXORD Z31, Z13, Z13; VMOVDQU32 Z13, off(R9)(R13*1); \
	VPXORD Z31, Z14, Z14; VMOVDQU32 Z14, off(R9)(R13*2); VPXORD Z31, Z15, Z15; VMOVDQU32 Z15, off(R9)(R14*1)

// func interleave8AVX512(a *interleaving)
TEXT ·interleave8AVX512(SB), NOSPLIT, $0-8
	LOADARGS
	VPBROADCASTD FLIP(AX), Z31
	MOVQ STEP(AX), R13
	LEAQ (R13)(R13*2), R14
loop:
	MOVQ SI, R8
	ROWS16X8
	PUT8(0)
	ROWS16X8
	PUT8(64)
	ADDQ R11, SI
	ADDQ R12, DI
	DECQ CX
	JNZ  loop
	VZEROUPPER
	RET

// Four words: Zᵢ = row i | row i+4 | row i+8 | row i+12.
#define INSERT4(lane) \
	VINSERTI32X4 $lane, (R8), Z0, Z0; VINSERTI32X4 $lane, (R8)(DX*1), Z1, Z1; \
	VINSERTI32X4 $lane, (R8)(DX*2), Z2, Z2; VINSERTI32X4 $lane, (R8)(BX*1), Z3, Z3; \
	LEAQ (R8)(DX*4), R8

#define ROWS16X4 \
	VMOVDQU (R8), X0; VMOVDQU (R8)(DX*1), X1; VMOVDQU (R8)(DX*2), X2; VMOVDQU (R8)(BX*1), X3; \
	LEAQ (R8)(DX*4), R8; \
	INSERT4(1); INSERT4(2); INSERT4(3); \
	VPUNPCKLDQ Z1, Z0, Z8; VPUNPCKHDQ Z1, Z0, Z9; VPUNPCKLDQ Z3, Z2, Z10; VPUNPCKHDQ Z3, Z2, Z11; \
	VPUNPCKLQDQ Z10, Z8, Z0; VPUNPCKHQDQ Z10, Z8, Z1; VPUNPCKLQDQ Z11, Z9, Z2; VPUNPCKHQDQ Z11, Z9, Z3

#define PUT4(off) \
	PUT(0, off, Z0); PUT(1, off, Z1); PUT(2, off, Z2); PUT(3, off, Z3)

// func interleave4AVX512(a *interleaving)
TEXT ·interleave4AVX512(SB), NOSPLIT, $0-8
	LOADARGS
	VPBROADCASTD FLIP(AX), Z31
loop:
	MOVQ SI, R8
	ROWS16X4
	PUT4(0)
	ROWS16X4
	PUT4(64)
	ADDQ R11, SI
	ADDQ R12, DI
	DECQ CX
	JNZ  loop
	VZEROUPPER
	RET

#define HALF(off) MOVWLZX (R8), AX; ADDQ DX, R8; MOVW AX, off(DI)
#define HALF4(off) HALF(off); HALF(off+2); HALF(off+4); HALF(off+6)

// func interleaveHalf(a *interleaving)
//
// One 16-bit number of each row.
TEXT ·interleaveHalf(SB), NOSPLIT, $0-8
	LOADARGS
loop:
	MOVQ SI, R8
	HALF4(0)
	HALF4(8)
	HALF4(16)
	HALF4(24)
	HALF4(32)
	HALF4(40)
	HALF4(48)
	HALF4(56)
	ADDQ R11, SI
	ADDQ R12, DI
	DECQ CX
	JNZ  loop
	RET

// PUTHALVES stores the two 16-bit numbers of each word, half-planes 2i and 2i+1.
#define PUTHALVES(i, off, Z) \
	VPMOVDW Z, (128*i+off)(DI); VPSRLD $16, Z, Z; VPMOVDW Z, (128*i+64+off)(DI)

#define PUTHALVES8(off) \
	PUTHALVES(0, off, Z8); PUTHALVES(1, off, Z9); PUTHALVES(2, off, Z10); PUTHALVES(3, off, Z11); \
	PUTHALVES(4, off, Z12); PUTHALVES(5, off, Z13); PUTHALVES(6, off, Z14); PUTHALVES(7, off, Z15)

// func interleaveHalvesAVX512(a *interleaving)
//
// Sixteen 16-bit numbers of each row.
TEXT ·interleaveHalvesAVX512(SB), NOSPLIT, $0-8
	LOADARGS
loop:
	MOVQ SI, R8
	ROWS16X8
	PUTHALVES8(0)
	ROWS16X8
	PUTHALVES8(32)
	ADDQ R11, SI
	ADDQ R12, DI
	DECQ CX
	JNZ  loop
	VZEROUPPER
	RET
