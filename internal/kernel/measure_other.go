//go:build !amd64

package kernel

const multiplyOps = 0

func touch(b []byte) { touchGeneric(b) }

func multiply(int64) { panic("kernel: no assembly") }
