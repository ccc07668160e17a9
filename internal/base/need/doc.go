// Package need decides about a test whose machine lacks something: the test is skipped there, but under CI it fails,
// so that no check goes missing unnoticed.
//
// need.go is all of it.
package need
