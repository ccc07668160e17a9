// Package grammartest makes random JSON Schemas (schema.go) for the tests of whatever keeps answers to one.
package grammartest
