//go:build !invariants

package engine

// invariants: check the books after every step. It costs time that grows with the KV cache, so only tests pay it.
const invariants = false
