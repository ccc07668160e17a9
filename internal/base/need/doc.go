// Package need decides about a test that needs something a machine may lack: it is skipped there, but it fails in CI,
// so that a missing check is noticed.
//
// need.go is all of it.
package need
