package safetensors

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
)

// Array is a tensor to be written.
type Array struct {
	Name  string
	DType string
	Shape []int
	Data  []byte
}

// Write writes one file. The header is padded to a multiple of eight bytes, as the format's library does.
func Write(w io.Writer, arrays []Array) error {
	type entry struct {
		DType   string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets [2]int `json:"data_offsets"`
	}
	header, at := map[string]entry{}, 0
	for _, a := range arrays {
		if _, dup := header[a.Name]; dup || a.Name == "" {
			return fmt.Errorf("%w: tensor name %q is empty or used twice", ErrFormat, a.Name)
		}
		size := dtypes[a.DType].size
		for _, n := range a.Shape {
			size *= int64(n)
		}
		if size != int64(len(a.Data)) {
			return fmt.Errorf("%w: tensor %q: %d bytes for %v of %s", ErrFormat, a.Name, len(a.Data), a.Shape, a.DType)
		}
		header[a.Name] = entry{a.DType, a.Shape, [2]int{at, at + len(a.Data)}}
		at += len(a.Data)
	}
	text, err := json.Marshal(header)
	if err != nil {
		return err
	}
	for len(text)%8 != 0 {
		text = append(text, ' ')
	}
	if _, err := w.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(text)))); err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	for _, a := range arrays {
		if _, err := w.Write(a.Data); err != nil {
			return err
		}
	}
	return nil
}
