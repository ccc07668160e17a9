#include "textflag.h"

// func pause(n int32)
TEXT ·pause(SB), NOSPLIT, $0-4
	MOVL n+0(FP), CX
loop:
	PAUSE
	SUBL $1, CX
	JG   loop
	RET

// func fetch(b []byte)
TEXT ·fetch(SB), NOSPLIT, $0-24
	MOVQ b_base+0(FP), SI
	MOVQ b_len+8(FP), CX
	SUBQ $256, CX
	JLT  done
loop:
	PREFETCHT1 0(SI)
	PREFETCHT1 64(SI)
	PREFETCHT1 128(SI)
	PREFETCHT1 192(SI)
	ADDQ $256, SI
	SUBQ $256, CX
	JGE  loop
done:
	RET

// func processor() uint32
TEXT ·processor(SB), NOSPLIT, $0-4
	MOVL $1, AX
	XORL CX, CX
	CPUID
	MOVL AX, ret+0(FP)
	RET
