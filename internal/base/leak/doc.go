// Package leak fails tests whose goroutines stay behind, and gives those that are about to end the time that a busy
// machine needs. Start reading at Main in leak.go, which a package's TestMain calls.
package leak
