// Functions that go through vectors sixteen elements a round do the rest under a mask: a masked lane is loaded as zero and
// not stored. REST jumps to done where nothing is left, else K1 has the lowest n bits, 0 < n < 16.
#define REST(n, done) \
	TESTQ n, n; JZ done; \
	MOVQ n, CX; MOVL $1, AX; SHLL CX, AX; DECL AX; KMOVW AX, K1
