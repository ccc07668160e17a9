// Package hftest writes a GGUF model as a Hugging Face directory, so that tests can convert in both directions.
//
// hftest.go is all of it. It shares no code with internal/model/convert, whose work it checks.
package hftest
