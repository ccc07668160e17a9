#include "textflag.h"

// func touchAVX512(p unsafe.Pointer, n int64)
//
// Four cache lines a round into four registers: the only work is the loads.
TEXT ·touchAVX512(SB), NOSPLIT, $0-16
	MOVQ p+0(FP), SI
	MOVQ n+8(FP), CX
loop:
	VPORD 0(SI), Z0, Z0
	VPORD 64(SI), Z1, Z1
	VPORD 128(SI), Z2, Z2
	VPORD 192(SI), Z3, Z3
	ADDQ $256, SI
	SUBQ $256, CX
	JG   loop
	VZEROUPPER
	RET

#define LINES2 \
	VPOR 0(SI), Y0, Y0; VPOR 32(SI), Y1, Y1; VPOR 64(SI), Y2, Y2; VPOR 96(SI), Y3, Y3; \
	VPOR 128(SI), Y0, Y0; VPOR 160(SI), Y1, Y1; VPOR 192(SI), Y2, Y2; VPOR 224(SI), Y3, Y3

// func touchAVX2(p unsafe.Pointer, n int64)
TEXT ·touchAVX2(SB), NOSPLIT, $0-16
	MOVQ p+0(FP), SI
	MOVQ n+8(FP), CX
loop:
	LINES2
	ADDQ $256, SI
	SUBQ $256, CX
	JG   loop
	VZEROUPPER
	RET

// func touchAheadAVX2(p unsafe.Pointer, n int64)
//
// The same, fetching 9 KiB ahead into the L2 cache.
TEXT ·touchAheadAVX2(SB), NOSPLIT, $0-16
	MOVQ p+0(FP), SI
	MOVQ n+8(FP), CX
loop:
	PREFETCHT1 9216(SI)
	PREFETCHT1 9280(SI)
	PREFETCHT1 9344(SI)
	PREFETCHT1 9408(SI)
	LINES2
	ADDQ $256, SI
	SUBQ $256, CX
	JG   loop
	VZEROUPPER
	RET

// func multiplyAVX512(n int64)
//
// Twelve independent sums: more than the latency (4 cycles) times the two a cycle that any processor starts.
TEXT ·multiplyAVX512(SB), NOSPLIT, $0-8
	MOVQ   n+0(FP), CX
	VPXORD Z30, Z30, Z30
	VPXORD Z31, Z31, Z31
loop:
	VPDPBUSD Z30, Z31, Z0
	VPDPBUSD Z30, Z31, Z1
	VPDPBUSD Z30, Z31, Z2
	VPDPBUSD Z30, Z31, Z3
	VPDPBUSD Z30, Z31, Z4
	VPDPBUSD Z30, Z31, Z5
	VPDPBUSD Z30, Z31, Z6
	VPDPBUSD Z30, Z31, Z7
	VPDPBUSD Z30, Z31, Z8
	VPDPBUSD Z30, Z31, Z9
	VPDPBUSD Z30, Z31, Z10
	VPDPBUSD Z30, Z31, Z11
	DECQ CX
	JNZ  loop
	VZEROUPPER
	RET
