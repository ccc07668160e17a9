#include "textflag.h"

// GATHER16 appends those of 16 numbers whose bits are set in the lowest 16 bits of AX.
#define GATHER16(at) \
	KMOVW AX, K1; \
	VMOVUPS at(SI), Z0; \
	VCOMPRESSPS.Z Z0, K1, Z0; \
	VMOVUPS Z0, (DI); \
	MOVWLZX AX, CX; \
	POPCNTL CX, CX; \
	LEAQ (DI)(CX*4), DI

// func gatherAVX512(dst, x *float32, set *uint64, words int64) int64
//
// The x whose bits are set, in order, and how many there are. VCOMPRESSPS writes to a register: to memory it is slow on
// Zen 4.
TEXT ·gatherAVX512(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ set+16(FP), BX
	MOVQ words+24(FP), DX
word:
	MOVQ (BX), AX
	TESTQ AX, AX
	JZ   next
	GATHER16(0)
	SHRQ $16, AX
	GATHER16(64)
	SHRQ $16, AX
	GATHER16(128)
	SHRQ $16, AX
	GATHER16(192)
next:
	ADDQ $8, BX
	ADDQ $256, SI
	DECQ DX
	JNZ  word
	SUBQ dst+0(FP), DI
	SHRQ $2, DI
	MOVQ DI, ret+32(FP)
	VZEROUPPER
	RET

// GATHER8 appends those of 8 numbers whose bits are set in the lowest byte of AX.
#define GATHER8(at) \
	MOVBLZX AX, CX; \
	VPMOVZXBD (R8)(CX*8), Y1; \
	VPERMPS at(SI), Y1, Y0; \
	VMOVUPS Y0, (DI); \
	POPCNTL CX, CX; \
	LEAQ (DI)(CX*4), DI

// func gatherAVX2(dst, x *float32, set *uint64, words int64, table *uint64) int64
//
// The same; table has the places of a byte's set bits, for each byte.
TEXT ·gatherAVX2(SB), NOSPLIT, $0-48
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ set+16(FP), BX
	MOVQ words+24(FP), DX
	MOVQ table+32(FP), R8
word:
	MOVQ (BX), AX
	TESTQ AX, AX
	JZ   next
	GATHER8(0)
	SHRQ $8, AX
	GATHER8(32)
	SHRQ $8, AX
	GATHER8(64)
	SHRQ $8, AX
	GATHER8(96)
	SHRQ $8, AX
	GATHER8(128)
	SHRQ $8, AX
	GATHER8(160)
	SHRQ $8, AX
	GATHER8(192)
	SHRQ $8, AX
	GATHER8(224)
next:
	ADDQ $8, BX
	ADDQ $256, SI
	DECQ DX
	JNZ  word
	SUBQ dst+0(FP), DI
	SHRQ $2, DI
	MOVQ DI, ret+40(FP)
	VZEROUPPER
	RET

// FOLD adds the halves of X0, and of these the halves.
#define FOLD \
	VPSHUFD $0x4e, X0, X1; \
	VADDPS X1, X0, X0; \
	VPSHUFD $0xb1, X0, X1; \
	VADDPS X1, X0, X0

// func blockSumsAVX512(dst, x *float32, n int64)
//
// The sums of n blocks of 64.
TEXT ·blockSumsAVX512(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), DX
block:
	VMOVUPS (SI), Z0
	VADDPS 64(SI), Z0, Z0
	VADDPS 128(SI), Z0, Z0
	VADDPS 192(SI), Z0, Z0
	VEXTRACTF64X4 $1, Z0, Y1
	VADDPS Y1, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VADDPS X1, X0, X0
	FOLD
	VMOVSS X0, (DI)
	ADDQ $256, SI
	ADDQ $4, DI
	DECQ DX
	JNZ  block
	VZEROUPPER
	RET

// func blockSumsAVX2(dst, x *float32, n int64)
//
// The same.
TEXT ·blockSumsAVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), DX
block:
	VMOVUPS (SI), Y0
	VMOVUPS 32(SI), Y1
	VADDPS 64(SI), Y0, Y0
	VADDPS 96(SI), Y1, Y1
	VADDPS 128(SI), Y0, Y0
	VADDPS 160(SI), Y1, Y1
	VADDPS 192(SI), Y0, Y0
	VADDPS 224(SI), Y1, Y1
	VADDPS Y1, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VADDPS X1, X0, X0
	FOLD
	VMOVSS X0, (DI)
	ADDQ $256, SI
	ADDQ $4, DI
	DECQ DX
	JNZ  block
	VZEROUPPER
	RET
