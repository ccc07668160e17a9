//go:build unix && !linux

package gguf

func tooLargeToCache(int64) bool { return false }

func forgetPages([]byte) {}
