// Package kvcache keeps the keys and values of attention in blocks of fixed size: their bytes, and which sequences
// hold which block.
//
// pool.go holds the Pool, which shares blocks of equal content, counts holders and evicts: start there. storage.go
// holds the bytes and their layout, as f16 or q8_0.
package kvcache
