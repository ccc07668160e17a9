// Package moe is the Mixtral model: a decoder-only transformer with grouped-query attention and a sparse mixture of
// SwiGLU experts (Jiang et al. 2024, arXiv:2401.04088). It computes logits for batches of sequences that share a paged
// KV cache.
//
// Start with config.go (the shape), rope.go (the angles of positions) and forward.go (one pass over a batch). stage.go
// cuts a pass into stages for the workers; attend.go, layer.go and experts.go compute them, state.go holds what they
// work on, and ahead.go fetches weights while workers wait. load.go reads a model, and strict.go refuses one with keys
// or tensors that would not be used; later.go packs an ordinary file while its model is in use, info.go describes a
// model that is not loaded. packed.go and rewrite.go handle files in the order of the kernels, observe.go shows inputs
// of matrices to an observer.
package moe
