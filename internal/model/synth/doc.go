// Package synth writes Mixtral-shaped GGUF models with seeded random weights and a working vocabulary. They serve
// tests, benchmarks and comparisons of engines where no trained model can be used.
//
// synth.go has shapes and presets: start there. tensors.go lists the tensors of a shape, source.go draws their values.
// needle.go builds one model by hand, which finds in its context what it was told.
//
// Weights are Gaussian with variance 1/fan-in, so that activations keep their size through the layers. A tensor's
// values depend on the seed and the tensor's name alone, so files of one seed in two formats hold the same model.
package synth
