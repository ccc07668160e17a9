// What the attention kernels share. SI points to the argument, BX is the position.

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
#define LAST 144
#define SCALES 152

// NEXTBLOCK leaves in DI the address of what is to be fetched ahead while the block of position BX is worked on: the block
// after the next one, or the last of the table.
#define NEXTBLOCK \
	MOVQ BX, DI; SHRQ $4, DI; ADDQ $2, DI; CMPQ DI, LAST(SI); CMOVQGT LAST(SI), DI; \
	MOVQ BLOCKS(SI), AX; MOVLQSX (AX)(DI*4), DI; IMULQ STRIDE(SI), DI; ADDQ BASE(SI), DI

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
