// Package safetensors reads and writes model weights as Hugging Face repositories hold them: files of named arrays,
// and the index that spreads a model over several files.
//
// safetensors.go reads one file: start there. model.go opens a model of several, write.go writes a file.
//
// A file is eight bytes of header length, a JSON header and the data (https://github.com/huggingface/safetensors,
// "Format"). Only the header is held in memory: weights are read piece by piece when they are asked for. Every offset
// is checked against the file's size first.
package safetensors
