// Package catalog opens a model by its reference: the path of a GGUF file, a name in the list of public models, a
// synthetic model's name, or demo.
//
// catalog.go has Open and the errors: start there. path.go opens files and says what was probably meant where there is
// none. directory.go opens the model of a directory. converted.go converts safetensors into the cache directory, where
// sources.go and entry_*.go record which files a conversion was made of. names.go reads the list of public models and
// finds pulled ones. demo.go opens the built-in model. packed.go keeps copies of models in the order of the kernels.
// write.go writes model files that appear under their name only when they are complete.
package catalog
