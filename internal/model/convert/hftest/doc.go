// Package hftest writes a GGUF model as a Hugging Face directory, so that tests can convert in both directions.
//
// hftest.go writes the directory, and added.go has added tokens for its tokenizer. They share no code with
// internal/model/convert, whose work they check.
package hftest
