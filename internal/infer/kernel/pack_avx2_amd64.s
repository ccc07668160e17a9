#include "textflag.h"

// The packing kernels of pack_amd64.s for eight rows a time. AX is the argument, DX the bytes of a row, BX three rows.

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
	LEAQ (DX)(DX*2), BX

// ROWS8X8 turns eight words of eight rows from R8 into the lower (Y0 … Y3) and upper (Y4 … Y7) rows' halves of planes:
// plane i < 4 is the low halves of Yᵢ and Yᵢ₊₄, plane i + 4 their high halves.
#define ROWS8X8 \
	LEAQ (R8)(DX*4), R9; \
	VMOVDQU (R8), Y0; VMOVDQU (R8)(DX*1), Y1; VMOVDQU (R8)(DX*2), Y2; VMOVDQU (R8)(BX*1), Y3; \
	VMOVDQU (R9), Y4; VMOVDQU (R9)(DX*1), Y5; VMOVDQU (R9)(DX*2), Y6; VMOVDQU (R9)(BX*1), Y7; \
	LEAQ (R9)(DX*4), R8; \
	VPUNPCKLDQ Y1, Y0, Y8; VPUNPCKHDQ Y1, Y0, Y9; VPUNPCKLDQ Y3, Y2, Y10; VPUNPCKHDQ Y3, Y2, Y11; \
	VPUNPCKLDQ Y5, Y4, Y12; VPUNPCKHDQ Y5, Y4, Y13; VPUNPCKLDQ Y7, Y6, Y14; VPUNPCKHDQ Y7, Y6, Y15; \
	VPUNPCKLQDQ Y10, Y8, Y0; VPUNPCKHQDQ Y10, Y8, Y1; VPUNPCKLQDQ Y11, Y9, Y2; VPUNPCKHQDQ Y11, Y9, Y3; \
	VPUNPCKLQDQ Y14, Y12, Y4; VPUNPCKHQDQ Y14, Y12, Y5; VPUNPCKLQDQ Y15, Y13, Y6; VPUNPCKHQDQ Y15, Y13, Y7

#define PUT(imm, H, L, to) \
	VPERM2I128 $imm, H, L, Y8; VPXOR Y15, Y8, Y8; VMOVDQU Y8, to

// func interleave8AVX2(a *interleaving)
TEXT ·interleave8AVX2(SB), NOSPLIT, $0-8
	LOADARGS
	MOVQ STEP(AX), R14
	LEAQ (R14)(R14*2), R15
loop:
	MOVQ SI, R8
	MOVQ DI, R10
	MOVL $4, R13
rows:
	ROWS8X8
	VPBROADCASTD FLIP(AX), Y15
	LEAQ (R10)(R14*4), R9
	PUT(0x20, Y4, Y0, (R10))
	PUT(0x20, Y5, Y1, (R10)(R14*1))
	PUT(0x20, Y6, Y2, (R10)(R14*2))
	PUT(0x20, Y7, Y3, (R10)(R15*1))
	PUT(0x31, Y4, Y0, (R9))
	PUT(0x31, Y5, Y1, (R9)(R14*1))
	PUT(0x31, Y6, Y2, (R9)(R14*2))
	PUT(0x31, Y7, Y3, (R9)(R15*1))
	ADDQ $32, R10
	DECQ R13
	JNZ  rows
	ADDQ R11, SI
	ADDQ R12, DI
	DECQ CX
	JNZ  loop
	VZEROUPPER
	RET

// func interleave4AVX2(a *interleaving)
//
// Four words: Yᵢ = row i | row i+4.
TEXT ·interleave4AVX2(SB), NOSPLIT, $0-8
	LOADARGS
	VPBROADCASTD FLIP(AX), Y15
loop:
	MOVQ SI, R8
	MOVQ DI, R10
	MOVL $4, R13
rows:
	LEAQ (R8)(DX*4), R9
	VMOVDQU (R8), X0
	VMOVDQU (R8)(DX*1), X1
	VMOVDQU (R8)(DX*2), X2
	VMOVDQU (R8)(BX*1), X3
	VINSERTI128 $1, (R9), Y0, Y0
	VINSERTI128 $1, (R9)(DX*1), Y1, Y1
	VINSERTI128 $1, (R9)(DX*2), Y2, Y2
	VINSERTI128 $1, (R9)(BX*1), Y3, Y3
	LEAQ (R9)(DX*4), R8
	VPUNPCKLDQ Y1, Y0, Y8
	VPUNPCKHDQ Y1, Y0, Y9
	VPUNPCKLDQ Y3, Y2, Y10
	VPUNPCKHDQ Y3, Y2, Y11
	VPUNPCKLQDQ Y10, Y8, Y0
	VPUNPCKHQDQ Y10, Y8, Y1
	VPUNPCKLQDQ Y11, Y9, Y2
	VPUNPCKHQDQ Y11, Y9, Y3
	VPXOR Y15, Y0, Y0
	VPXOR Y15, Y1, Y1
	VPXOR Y15, Y2, Y2
	VPXOR Y15, Y3, Y3
	VMOVDQU Y0, 0(R10)
	VMOVDQU Y1, 128(R10)
	VMOVDQU Y2, 256(R10)
	VMOVDQU Y3, 384(R10)
	ADDQ $32, R10
	DECQ R13
	JNZ  rows
	ADDQ R11, SI
	ADDQ R12, DI
	DECQ CX
	JNZ  loop
	VZEROUPPER
	RET

// PUTHALVES stores the two 16-bit numbers of each word, half-planes 2i and 2i+1. Y15 = 0x0000ffff.
#define PUTHALVES(i, imm, H, L) \
	VPERM2I128 $imm, H, L, Y8; VPAND Y15, Y8, Y9; VPSRLD $16, Y8, Y8; VPACKUSDW Y8, Y9, Y9; VPERMQ $0xd8, Y9, Y9; \
	VMOVDQU X9, (128*i)(R10); VEXTRACTI128 $1, Y9, (128*i+64)(R10)

// func interleaveHalvesAVX2(a *interleaving)
//
// Sixteen 16-bit numbers of each row.
TEXT ·interleaveHalvesAVX2(SB), NOSPLIT, $0-8
	LOADARGS
loop:
	MOVQ SI, R8
	MOVQ DI, R10
	MOVL $4, R13
rows:
	ROWS8X8
	MOVL $0x0000ffff, R9
	VMOVD R9, X15
	VPBROADCASTD X15, Y15
	PUTHALVES(0, 0x20, Y4, Y0)
	PUTHALVES(1, 0x20, Y5, Y1)
	PUTHALVES(2, 0x20, Y6, Y2)
	PUTHALVES(3, 0x20, Y7, Y3)
	PUTHALVES(4, 0x31, Y4, Y0)
	PUTHALVES(5, 0x31, Y5, Y1)
	PUTHALVES(6, 0x31, Y6, Y2)
	PUTHALVES(7, 0x31, Y7, Y3)
	ADDQ $16, R10
	DECQ R13
	JNZ  rows
	ADDQ R11, SI
	ADDQ R12, DI
	DECQ CX
	JNZ  loop
	VZEROUPPER
	RET
