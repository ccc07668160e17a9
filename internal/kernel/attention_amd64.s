#include "textflag.h"

// Offsets in type attend.
#define BASE 0
#define BLOCKS 8
#define COUNT 16
#define STRIDE 24
#define DIM 32
#define QUERY 40
#define SCORES 72
#define OUT 104
#define SCALE 136

// SUMKEYS adds each of four vectors (keys of one head) up within its 128-bit lanes: word k of every lane of A is key k's.
#define SUMKEYS(A, B, C, D) \
	VUNPCKLPS B, A, Z16; VUNPCKHPS B, A, Z17; VADDPS Z17, Z16, Z16; \
	VUNPCKLPS D, C, Z18; VUNPCKHPS D, C, Z19; VADDPS Z19, Z18, Z18; \
	VUNPCKLPD Z18, Z16, A; VUNPCKHPD Z18, Z16, B; VADDPS B, A, A

// CLEAR empties the sixteen sums: Z0 … Z3 are head 0's of four keys, Z4 … Z7 head 1's.
#define CLEAR \
	VPXORD Z0, Z0, Z0; VPXORD Z1, Z1, Z1; VPXORD Z2, Z2, Z2; VPXORD Z3, Z3, Z3; \
	VPXORD Z4, Z4, Z4; VPXORD Z5, Z5, Z5; VPXORD Z6, Z6, Z6; VPXORD Z7, Z7, Z7; \
	VPXORD Z8, Z8, Z8; VPXORD Z9, Z9, Z9; VPXORD Z10, Z10, Z10; VPXORD Z11, Z11, Z11; \
	VPXORD Z12, Z12, Z12; VPXORD Z13, Z13, Z13; VPXORD Z14, Z14, Z14; VPXORD Z15, Z15, Z15

// MULTIPLY adds the products of keys Z16 … Z19 and queries Z20 … Z23.
#define MULTIPLY \
	VFMADD231PS Z16, Z20, Z0; VFMADD231PS Z17, Z20, Z1; VFMADD231PS Z18, Z20, Z2; VFMADD231PS Z19, Z20, Z3; \
	VFMADD231PS Z16, Z21, Z4; VFMADD231PS Z17, Z21, Z5; VFMADD231PS Z18, Z21, Z6; VFMADD231PS Z19, Z21, Z7; \
	VFMADD231PS Z16, Z22, Z8; VFMADD231PS Z17, Z22, Z9; VFMADD231PS Z18, Z22, Z10; VFMADD231PS Z19, Z22, Z11; \
	VFMADD231PS Z16, Z23, Z12; VFMADD231PS Z17, Z23, Z13; VFMADD231PS Z18, Z23, Z14; VFMADD231PS Z19, Z23, Z15

// SUMS adds each of the sixteen vectors up, multiplies by Z31 and stores the scores of keys BX and the next three. The
// 128-bit lanes hold heads 0 and 1, then 2 and 3, then all four, one a lane.
#define SUMS \
	SUMKEYS(Z0, Z1, Z2, Z3); \
	SUMKEYS(Z4, Z5, Z6, Z7); \
	SUMKEYS(Z8, Z9, Z10, Z11); \
	SUMKEYS(Z12, Z13, Z14, Z15); \
	VSHUFF32X4 $0x88, Z4, Z0, Z16; VSHUFF32X4 $0xdd, Z4, Z0, Z17; VADDPS Z17, Z16, Z16; \
	VSHUFF32X4 $0x88, Z12, Z8, Z18; VSHUFF32X4 $0xdd, Z12, Z8, Z19; VADDPS Z19, Z18, Z18; \
	VSHUFF32X4 $0x88, Z18, Z16, Z0; VSHUFF32X4 $0xdd, Z18, Z16, Z1; VADDPS Z1, Z0, Z0; \
	VMULPS Z31, Z0, Z0; \
	MOVQ (SCORES+0)(SI), AX; VMOVUPS X0, (AX)(BX*4); \
	MOVQ (SCORES+8)(SI), AX; VEXTRACTF32X4 $1, Z0, (AX)(BX*4); \
	MOVQ (SCORES+16)(SI), AX; VEXTRACTF32X4 $2, Z0, (AX)(BX*4); \
	MOVQ (SCORES+24)(SI), AX; VEXTRACTF32X4 $3, Z0, (AX)(BX*4)

// func attendScoresF16AVX512(a *attend)
//
// Four keys × four heads at a time: sixteen sums, for which sixteen elements of each key and query are loaded, two
// multiplications a load. Keys of a block follow each other in memory.
TEXT ·attendScoresF16AVX512(SB), NOSPLIT, $0-8
	MOVQ a+0(FP), SI
	MOVQ (QUERY+0)(SI), R8
	MOVQ (QUERY+8)(SI), R9
	MOVQ (QUERY+16)(SI), R10
	MOVQ (QUERY+24)(SI), R11
	MOVQ DIM(SI), DX
	ADDQ DX, DX                   // bytes of a key
	VBROADCASTSS SCALE(SI), Z31
	XORL BX, BX                   // position

block:
	MOVQ BLOCKS(SI), R12
	MOVQ BX, AX
	SHRQ $4, AX
	MOVLQSX (R12)(AX*4), R12
	IMULQ STRIDE(SI), R12
	ADDQ BASE(SI), R12

keys:
	LEAQ (R12)(DX*1), R13
	LEAQ (R12)(DX*2), R14
	LEAQ (R13)(DX*2), R15
	CLEAR
	XORL AX, AX

elements:
	VCVTPH2PS (R12)(AX*1), Z16
	VCVTPH2PS (R13)(AX*1), Z17
	VCVTPH2PS (R14)(AX*1), Z18
	VCVTPH2PS (R15)(AX*1), Z19
	VMOVUPS (R8)(AX*2), Z20
	VMOVUPS (R9)(AX*2), Z21
	VMOVUPS (R10)(AX*2), Z22
	VMOVUPS (R11)(AX*2), Z23
	MULTIPLY
	ADDQ $32, AX
	CMPQ AX, DX
	JNE  elements

	SUMS
	LEAQ  (R12)(DX*4), R12
	ADDQ  $4, BX
	TESTQ $15, BX
	JNZ   keys
	CMPQ  BX, COUNT(SI)
	JLT   block
	VZEROUPPER
	RET

// func attendScoresF32AVX512(a *attend)
//
// The same of widened keys, which all follow each other. Up to three more than n are read, and scores written for them.
TEXT ·attendScoresF32AVX512(SB), NOSPLIT, $0-8
	MOVQ a+0(FP), SI
	MOVQ (QUERY+0)(SI), R8
	MOVQ (QUERY+8)(SI), R9
	MOVQ (QUERY+16)(SI), R10
	MOVQ (QUERY+24)(SI), R11
	MOVQ DIM(SI), DX
	SHLQ $2, DX                   // bytes of a key
	VBROADCASTSS SCALE(SI), Z31
	MOVQ BASE(SI), R12
	XORL BX, BX                   // position

keys:
	LEAQ (R12)(DX*1), R13
	LEAQ (R12)(DX*2), R14
	LEAQ (R13)(DX*2), R15
	CLEAR
	XORL AX, AX

elements:
	VMOVUPS (R12)(AX*1), Z16
	VMOVUPS (R13)(AX*1), Z17
	VMOVUPS (R14)(AX*1), Z18
	VMOVUPS (R15)(AX*1), Z19
	VMOVUPS (R8)(AX*1), Z20
	VMOVUPS (R9)(AX*1), Z21
	VMOVUPS (R10)(AX*1), Z22
	VMOVUPS (R11)(AX*1), Z23
	MULTIPLY
	ADDQ $64, AX
	CMPQ AX, DX
	JNE  elements

	SUMS
	LEAQ (R12)(DX*4), R12
	ADDQ $4, BX
	CMPQ BX, COUNT(SI)
	JLT  keys
	VZEROUPPER
	RET

// HEAD adds weight (W)[R13] times the four vectors of a value to one head's sums.
#define HEAD(W, A, B, C, D) \
	VBROADCASTSS (W)(R13*4), Z20; \
	VFMADD231PS Z16, Z20, A; VFMADD231PS Z17, Z20, B; VFMADD231PS Z18, Z20, C; VFMADD231PS Z19, Z20, D

// LOADOUT loads 64 of head i's sums, from element AX/n of 4 bytes on.
#define LOADOUT(i, n, A, B, C, D) \
	MOVQ (OUT+8*i)(SI), R14; \
	VMOVUPS 0(R14)(AX*n), A; VMOVUPS 64(R14)(AX*n), B; VMOVUPS 128(R14)(AX*n), C; VMOVUPS 192(R14)(AX*n), D

#define STOREOUT(i, n, A, B, C, D) \
	MOVQ (OUT+8*i)(SI), R14; \
	VMOVUPS A, 0(R14)(AX*n); VMOVUPS B, 64(R14)(AX*n); VMOVUPS C, 128(R14)(AX*n); VMOVUPS D, 192(R14)(AX*n)

#define LOADOUTS(n) \
	LOADOUT(0, n, Z0, Z1, Z2, Z3); LOADOUT(1, n, Z4, Z5, Z6, Z7); LOADOUT(2, n, Z8, Z9, Z10, Z11); LOADOUT(3, n, Z12, Z13, Z14, Z15)

#define STOREOUTS(n) \
	STOREOUT(0, n, Z0, Z1, Z2, Z3); STOREOUT(1, n, Z4, Z5, Z6, Z7); STOREOUT(2, n, Z8, Z9, Z10, Z11); STOREOUT(3, n, Z12, Z13, Z14, Z15)

// HEADS adds a value to all sums.
#define HEADS \
	HEAD(R8, Z0, Z1, Z2, Z3); HEAD(R9, Z4, Z5, Z6, Z7); HEAD(R10, Z8, Z9, Z10, Z11); HEAD(R11, Z12, Z13, Z14, Z15)

// LOADNARROW and STORENARROW do 16 of each head's sums.
#define LOADNARROW(n) \
	MOVQ (OUT+0)(SI), R14; VMOVUPS (R14)(AX*n), Z0; MOVQ (OUT+8)(SI), R14; VMOVUPS (R14)(AX*n), Z1; \
	MOVQ (OUT+16)(SI), R14; VMOVUPS (R14)(AX*n), Z2; MOVQ (OUT+24)(SI), R14; VMOVUPS (R14)(AX*n), Z3

#define STORENARROW(n) \
	MOVQ (OUT+0)(SI), R14; VMOVUPS Z0, (R14)(AX*n); MOVQ (OUT+8)(SI), R14; VMOVUPS Z1, (R14)(AX*n); \
	MOVQ (OUT+16)(SI), R14; VMOVUPS Z2, (R14)(AX*n); MOVQ (OUT+24)(SI), R14; VMOVUPS Z3, (R14)(AX*n)

// NARROW adds 16 elements of a value, in Z16, to all sums.
#define NARROW \
	VFMADD231PS.BCST (R8)(R13*4), Z16, Z0; VFMADD231PS.BCST (R9)(R13*4), Z16, Z1; \
	VFMADD231PS.BCST (R10)(R13*4), Z16, Z2; VFMADD231PS.BCST (R11)(R13*4), Z16, Z3

// func attendValuesF16AVX512(a *attend)
//
// Adds weights times values to out, block by block: 64 elements of four heads are sixteen sums, for which a value's four
// vectors and four weights are loaded, two multiplications a load. The rest of a head goes 16 elements at a time.
TEXT ·attendValuesF16AVX512(SB), NOSPLIT, $0-8
	MOVQ a+0(FP), SI
	MOVQ (SCORES+0)(SI), R8
	MOVQ (SCORES+8)(SI), R9
	MOVQ (SCORES+16)(SI), R10
	MOVQ (SCORES+24)(SI), R11
	MOVQ DIM(SI), DX
	ADDQ DX, DX       // bytes of a value
	XORL BX, BX       // position of the block

block:
	MOVQ BLOCKS(SI), R12
	MOVQ BX, AX
	SHRQ $4, AX
	MOVLQSX (R12)(AX*4), R12
	IMULQ STRIDE(SI), R12
	ADDQ BASE(SI), R12
	MOVQ COUNT(SI), DI // the block's end
	LEAQ 16(BX), R13
	CMPQ DI, R13
	CMOVQGT R13, DI
	XORL AX, AX       // byte of the value

wide:
	LEAQ 128(AX), R13
	CMPQ R13, DX
	JGT  narrow
	LOADOUTS(2)
	LEAQ (R12)(AX*1), R15
	MOVQ BX, R13

wideloop:
	VCVTPH2PS 0(R15), Z16
	VCVTPH2PS 32(R15), Z17
	VCVTPH2PS 64(R15), Z18
	VCVTPH2PS 96(R15), Z19
	HEADS
	ADDQ DX, R15
	INCQ R13
	CMPQ R13, DI
	JLT  wideloop
	STOREOUTS(2)
	ADDQ $128, AX
	JMP  wide

narrow:
	CMPQ AX, DX
	JGE  next
	LOADNARROW(2)
	LEAQ (R12)(AX*1), R15
	MOVQ BX, R13

narrowloop:
	VCVTPH2PS 0(R15), Z16
	NARROW
	ADDQ DX, R15
	INCQ R13
	CMPQ R13, DI
	JLT  narrowloop
	STORENARROW(2)
	ADDQ $32, AX
	JMP  narrow

next:
	ADDQ $16, BX
	CMPQ BX, COUNT(SI)
	JLT  block
	VZEROUPPER
	RET

// func attendValuesF32AVX512(a *attend)
//
// The same of widened values, which all follow each other.
TEXT ·attendValuesF32AVX512(SB), NOSPLIT, $0-8
	MOVQ a+0(FP), SI
	MOVQ (SCORES+0)(SI), R8
	MOVQ (SCORES+8)(SI), R9
	MOVQ (SCORES+16)(SI), R10
	MOVQ (SCORES+24)(SI), R11
	MOVQ DIM(SI), DX
	SHLQ $2, DX       // bytes of a value
	MOVQ BASE(SI), R12
	MOVQ COUNT(SI), DI
	XORL AX, AX       // byte of the value

wide:
	LEAQ 256(AX), R13
	CMPQ R13, DX
	JGT  narrow
	LOADOUTS(1)
	LEAQ (R12)(AX*1), R15
	XORL R13, R13

wideloop:
	VMOVUPS 0(R15), Z16
	VMOVUPS 64(R15), Z17
	VMOVUPS 128(R15), Z18
	VMOVUPS 192(R15), Z19
	HEADS
	ADDQ DX, R15
	INCQ R13
	CMPQ R13, DI
	JLT  wideloop
	STOREOUTS(1)
	ADDQ $256, AX
	JMP  wide

narrow:
	CMPQ AX, DX
	JGE  done
	LOADNARROW(1)
	LEAQ (R12)(AX*1), R15
	XORL R13, R13

narrowloop:
	VMOVUPS 0(R15), Z16
	NARROW
	ADDQ DX, R15
	INCQ R13
	CMPQ R13, DI
	JLT  narrowloop
	STORENARROW(1)
	ADDQ $64, AX
	JMP  narrow

done:
	VZEROUPPER
	RET
