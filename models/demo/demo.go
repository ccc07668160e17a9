package demo

import _ "embed"

//go:embed mixtral-demo.gguf
var model []byte

// Model gives the GGUF file's bytes, which the caller must not change. It reports false in a build whose file was
// emptied to save space.
func Model() ([]byte, bool) { return model, len(model) > 0 }
