package engine

// invariants is set when a program is linked (-ldflags=-X, as the Makefile does for tests): the books are then checked
// after every step. That costs time that grows with the KV cache, so only tests pay it. For a build tag, everything
// that uses this package would be compiled twice.
var invariants string
