// Package wait lets time pass, but no longer than a context lasts. Its one function is in wait.go.
package wait
