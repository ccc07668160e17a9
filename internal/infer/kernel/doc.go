// Package kernel computes: packed weight matrices times batches of activation rows, attention over cached keys and
// values, and the element-wise functions of a transformer, in portable Go and in assembly, over a persistent worker
// pool.
//
// It knows slices and block formats only.
//
// Two rules hold for every tier. The order in which one output value is summed is fixed: it does not depend on how
// many columns or rows are computed beside it, so a sequence's result does not depend on its batch. And NaN or Inf in
// an input reaches the output as NaN or Inf, so that a broken model is seen and not served.
//
// Start with tier.go: a tier is an instruction set, and a function for each kernel. Then layout.go (how weights lie in
// memory), acts.go (activations), mul.go (products) and dot_generic.go, their specification in Go. attention.go,
// vec.go and logits.go are the rest of a transformer; crew.go has the workers, measure.go the limits of the machine.
// The other files are the tiers' own, named by architecture and instruction set; _asm writes the larger part of the
// assembly.
package kernel
