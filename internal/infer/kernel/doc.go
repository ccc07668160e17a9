// Package kernel computes what a transformer needs: products of packed weight matrices with batches of activations,
// attention over cached keys and values, and element-wise functions. It has portable Go and assembly for several tiers
// of processors, and a pool of workers.
//
// Start with tier.go (a tier is an instruction set, and a function for each kernel), then layout.go (how weights are
// packed), fields.go (where they are in a packed block), acts.go (activations, rounded for products), mul.go
// (products), kv.go and attention.go, vec.go (element-wise functions) and logits.go. dot_generic.go multiplies a
// packed block, and spread.go the formats that have no kernel of their own for many columns. pack.go and unpack.go
// convert between a file's blocks and the packed order, pending.go multiplies matrices before they are packed, and
// scales.go has the inner loops of quantisation. crew.go is the worker pool. arena.go is the memory of weights,
// backing.go decides about its huge pages, and resident_*.go says how much of it is in memory. measure.go measures the
// machine's limits.
//
// Files whose name ends in an architecture hold the assembly's calls and what surrounds them. On amd64, tile_amd64.go
// and tiles_amd64.go multiply groups of columns, curve_amd64.go multiplies IQ4 and grid_amd64.go formats with grids by
// one column, and avxvnni_amd64.go says whether the processor has AVX-VNNI. On arm64, tile_arm64.go multiplies, with
// the kernels that kernels_arm64.go lists. The programs in _asm generate most .s files, one for each kernel, format
// and tier, whose first line says so. The Go code is their specification.
//
// Two rules hold for every tier. The order in which an output value is summed is fixed: it does not depend on how many
// columns or rows are computed beside it, so a sequence's result does not depend on its batch. And NaN or Inf in an
// input reaches the output as NaN or Inf, so that a broken model is noticed and not served.
package kernel
