// Package need decides about a test that needs what a machine may lack: it is skipped there, but it fails under CI, so
// that nobody overlooks a missing check. need.go is all of it.
package need
