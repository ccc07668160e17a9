// Package wait waits for a duration, but no longer than a context lasts. Its one function is in wait.go.
package wait
