// Package kernel computes what a transformer needs: products of packed weight matrices with batches of activations,
// attention over cached keys and values, and element-wise functions. It has portable Go and assembly for several
// tiers of processors, and a pool of workers.
//
// Start with tier.go (a tier is an instruction set, and a function for each kernel), then layout.go (how weights are
// packed), mul.go (products), attention.go, vec.go (element-wise functions) and logits.go. crew.go is the worker
// pool, arena.go the memory of weights. pending.go multiplies matrices before they are packed. pack.go and unpack.go
// convert between a file's blocks and the packed order, scales.go has the inner loops of quantisation. measure.go
// measures the machine's limits. Files whose name ends in an architecture hold the assembly and its calls. The
// programs in _asm generate most .s files, one for each kernel, format and tier, whose first line says so. The Go code
// is their specification.
//
// Two rules hold for every tier. The order in which an output value is summed is fixed: it does not depend on how
// many columns or rows are computed beside it, so a sequence's result does not depend on its batch. And NaN or Inf
// in an input reaches the output as NaN or Inf, so that a broken model is noticed and not served.
package kernel
