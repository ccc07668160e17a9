// Package quant knows the block formats of GGUF tensors: their sizes, how rows of float32 are packed into them, and
// how they are unpacked. It is the specification that the kernels are tested against.
//
// quant.go has the types, Pack and Unpack: start there. classic.go, kpack.go, kunpack.go, iq.go and float.go hold the
// families of formats; grids.go has the vectors that the IQ formats choose from, curve.go packs those that have none.
// packer.go packs with an importance of each column, search.go searches for the best scales. kv.go has the formats of
// the KV cache.
//
// The formats are ggml's (ggml-common.h and the GGUF specification). A row is cut into blocks of BlockLen elements;
// each block is self-contained and little-endian. In the classic formats (Q4_0, Q4_1, Q5_0, Q5_1, Q8_0) a block of 32
// elements shares one binary16 scale; Q4_1 and Q5_1 also have a minimum. In the K formats a super-block of 256
// elements holds 8 or 16 groups whose own scales are small integers under one binary16 super-scale. The weights of the
// IQ formats come from a curve or from a grid of vectors; those with a grid can only be read.
//
// Unpack is exact: every element is the correctly rounded float32 of the operations that ggml names, in its order.
// Pack is free to choose codes; here it searches for the scales with the least squared error.
package quant
