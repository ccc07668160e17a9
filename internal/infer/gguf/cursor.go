package gguf

import (
	"encoding/binary"
	"fmt"
)

// cursor reads little-endian fields. The first read past the end sets err; reads after that give zeros.
type cursor struct {
	data []byte
	off  int
	err  error
}

// take gives the next n bytes, or nil.
func (c *cursor) take(n uint64) []byte {
	if c.err != nil {
		return nil
	}
	if left := uint64(len(c.data) - c.off); n > left {
		c.err = fmt.Errorf("%w: needs %d bytes at byte %d and has %d", ErrFormat, n, c.off, left)
		return nil
	}
	b := c.data[c.off : c.off+int(n)]
	c.off += int(n)
	return b
}

func (c *cursor) u32() uint32 {
	if b := c.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (c *cursor) u64() uint64 {
	if b := c.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// str reads a length and that many bytes, copied: strings outlive the mapping.
func (c *cursor) str() string { return string(c.take(c.u64())) }
