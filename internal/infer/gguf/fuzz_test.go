package gguf

import (
	"encoding/binary"
	"testing"
)

// FuzzParse: no file crashes the reader or makes it allocate much more than the file's own size, and what it accepts
// is inside the file.
func FuzzParse(f *testing.F) {
	good := sample(f)
	f.Add(good)
	for _, n := range []int{0, 3, 4, 8, 20, 24, 60, len(good) / 2, len(good) - 1} {
		f.Add(good[:n])
	}
	for _, at := range []int{4, 8, 16, 24, 40} { // version, counts, the first key's length
		lie := append([]byte(nil), good...)
		binary.LittleEndian.PutUint64(lie[at:], 1<<63+1)
		f.Add(lie)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var file *File
		var err error
		allocated := testing.AllocsPerRun(1, func() { file, err = Parse(data) })
		if allocated > float64(len(data))+64 {
			t.Fatalf("%v allocations for %d bytes", allocated, len(data))
		}
		if err != nil {
			return
		}
		total := 0
		for _, x := range file.Tensors() {
			want, err := x.Type.RowBytes(x.Elems())
			if err != nil || want != len(x.Data) {
				t.Fatalf("tensor %q of %v elements has %d bytes, want %d, %v", x.Name, x.Dims, len(x.Data), want, err)
			}
			total += len(x.Data)
		}
		if total > len(data) {
			t.Fatalf("tensors of %d bytes in a file of %d", total, len(data))
		}
		for _, key := range file.Keys() {
			file.Uint32(key)
			file.Float32(key)
			file.Bool(key)
			file.String(key)
			file.Strings(key)
			file.Float32s(key)
			file.Int32s(key)
		}
	})
}
