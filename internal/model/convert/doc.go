// Package convert turns model weights into GGUF files of another format. It reads a Hugging Face directory or a GGUF
// file, some rows at a time, so that memory does not grow with the model.
//
// A Source (convert.go) is a model under GGUF's names, whatever the names were before. A Mix (mix.go) says which
// format each tensor gets. Run (run.go) does the work with several workers (work.go), and continues where an earlier
// Run was killed (journal.go). Start with these three.
//
// gguf.go and hf.go open the two kinds of source, and refused.go recognises those that are not supported. config.go
// reads config.json, names.go translates tensor names. vocabulary.go, sentencepiece.go and tokenizerjson.go read
// tokenizers, added.go their added tokens, and normalizer.go what they do to a text. importance*.go read, write and
// merge importance matrices. writeback_*.go lets the system write to the disk early.
package convert
