//go:build !amd64

package kernel

type tile struct{}

func (m *Matrix) mulAVX512(*Scratch, int, int, *Acts, []int32, []float32, int) {
	panic("kernel: no assembly")
}
