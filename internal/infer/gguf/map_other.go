//go:build !unix

package gguf

import (
	"io"
	"os"
)

// mapFile reads the whole file where there is no mmap.
func mapFile(file *os.File, size int64) ([]byte, func() error, error) {
	data := make([]byte, size)
	_, err := io.ReadFull(file, data)
	return data, func() error { return nil }, err
}

var releasePages func([]byte, int64) // nothing is mapped

func tooLargeToCache(int64) bool { return true }

func populatePages([]byte) error { return nil }
