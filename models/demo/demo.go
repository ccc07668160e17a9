// Package demo holds the built-in model: a small Mixtral trained from scratch on the text that this directory
// generates, so that the service and its certification work with no download. It must not import anything of this
// module.
//
// README.md is the model card; rebuild.sh makes the file again from nothing.
package demo

import _ "embed"

//go:embed mixtral-demo.gguf
var model []byte

// Model gives the GGUF file's bytes, which the caller must not change. It reports false in a build whose file was
// emptied to save space.
func Model() ([]byte, bool) { return model, len(model) > 0 }
