// Package grammartest makes random JSON Schemas, for tests of code that constrains answers to a schema.
//
// schema.go is all of it.
package grammartest
