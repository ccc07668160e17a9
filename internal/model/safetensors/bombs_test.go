package safetensors

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/hostile"
)

// TestBombs: no header and no index becomes a large multiple of itself.
func TestBombs(t *testing.T) {
	const size = 2 << 20 // of values of two bytes: as many as are allowed
	most := hostile.Most{Bytes: 192 << 20}
	whole := func(data []byte) error { _, err := parse(data); return err }
	for in, texts := range map[string]map[string]string{
		"entry":    hostile.Texts(`{"a":%s}`, size/8),
		"metadata": hostile.Texts(`{"__metadata__":%s}`, size),
		"dtype":    hostile.Texts(`{"a":{"dtype":%s,"shape":[],"data_offsets":[0,1]}}`, size/8),
		"shape":    hostile.Texts(`{"a":{"dtype":"U8","shape":%s,"data_offsets":[0,1]}}`, size),
		"offsets":  hostile.Texts(`{"a":{"dtype":"U8","shape":[1],"data_offsets":%s}}`, size/8),
	} {
		t.Run(in, func(t *testing.T) {
			files := map[string]string{}
			for name, text := range texts {
				files[name] = string(file(text, 1))
			}
			hostile.Bombs(t, files, most, whole)
		})
	}
	index := func(data []byte) error { _, err := parseIndex(data); return err }
	for in, texts := range map[string]map[string]string{
		"index": hostile.Texts(`%s`, size/8), "weight_map": hostile.Texts(`{"weight_map":%s}`, size),
		"file": hostile.Texts(`{"weight_map":{"a":%s}}`, size/8),
	} {
		t.Run(in, func(t *testing.T) { hostile.Bombs(t, texts, most, index) })
	}
}

// TestMutations: a file that is wrong in any way that its structure allows is an error of the format, or is read
// without a byte outside it.
func TestMutations(t *testing.T) {
	const header = `{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},` +
		`"b.c":{"dtype":"BF16","shape":[0],"data_offsets":[8,8]},"d":{"dtype":"U8","shape":[],"data_offsets":[8,9]}}`
	honest := file(header, 9)
	if all, err := parse(honest); err != nil || len(all) != 3 {
		t.Fatal(all, err)
	}
	n := 0
	try := func(name string, data []byte) {
		n++
		var all []Tensor
		var err error
		if got, _ := hostile.Allocated(func() { all, err = parse(data) }); got > 64<<10 {
			t.Errorf("%s: %d bytes allocated", name, got)
		}
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("%s: an error of no kind: %v", name, err)
			}
			return
		}
		for _, x := range all {
			if _, err := x.ReadAt(make([]byte, x.Size()), 0); err != nil {
				t.Errorf("%s: tensor %q: %v", name, x.Name, err)
			}
		}
	}
	for name, text := range hostile.JSON([]byte(header)) {
		try(name, file(string(text), 9))
	}
	for name, data := range hostile.Binary(honest, 8) { // the length of the header
		try(name, data)
	}
	for _, extra := range []uint64{1, 8, 9} { // a header that takes some of the data, or leaves some of itself to them
		for _, length := range []uint64{uint64(len(header)) + extra, uint64(len(header)) - extra} {
			data := append([]byte(nil), honest...)
			binary.LittleEndian.PutUint64(data, length)
			try("another length", data)
		}
	}
	if n < 500 {
		t.Errorf("only %d files were tried", n)
	}
	t.Logf("%d files", n)
}
