// Package need decides about a test that needs what a machine may lack: it is skipped there, but under CI it fails, so
// that no check goes missing without a word. need.go is all of it.
package need
