//go:build !linux

package kernel

func mapBytes(n int) ([]byte, error) { return make([]byte, n), nil }

func unmapBytes([]byte) error { return nil }

// Elsewhere the system chooses pages by itself.
func hugePages([]byte)            {}
func smallPages([]byte)           {}
func populate([]byte) bool        { return false }
func collapse([]byte) bool        { return false }
func hugePagesIn(b []byte) []byte { return b[:0] }
