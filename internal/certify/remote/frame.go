package remote

import (
	"encoding/binary"
	"fmt"
	"io"
)

// A frame has one byte for its kind, four bytes for its length in big-endian order, and its content.
const (
	frameMessage  = 'm' // a Message, in JSON
	frameEvidence = 'e' // lines of evidence
	frameHead     = 5
)

// frame is a frame that was read.
type frame struct {
	kind byte
	data []byte
}

// readFrame reads a frame. Its content may have most bytes at most; a longer one gives an error that matches
// ErrProtocol.
func readFrame(r io.Reader, most int) (frame, error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	switch {
	case head[0] != frameMessage && head[0] != frameEvidence:
		return frame{}, fmt.Errorf("%w: unknown kind of frame %q", ErrProtocol, head[0])
	case int64(n) > int64(most):
		return frame{}, fmt.Errorf("%w: a frame has %d bytes, at most %d are allowed", ErrProtocol, n, most)
	}
	data, err := readAll(r, int(n))
	return frame{head[0], data}, err
}

// readAll reads n bytes. Its memory grows as they arrive, so that announcing a large n costs nothing.
func readAll(r io.Reader, n int) ([]byte, error) {
	const step = 1 << 20
	data := make([]byte, 0, min(n, step))
	for len(data) < n {
		from := len(data)
		more := min(n-from, max(step, from))
		data = append(data, make([]byte, more)...)
		if _, err := io.ReadFull(r, data[from:]); err != nil {
			return nil, err
		}
	}
	return data, nil
}

// appendFrame writes a frame.
func appendFrame(b []byte, kind byte, data []byte) []byte {
	b = append(b, kind)
	b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
	return append(b, data...)
}
