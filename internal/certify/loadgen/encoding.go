package loadgen

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// decompress decodes a body that was compressed although the request did not ask for it, as some gateways do. A chunk
// has the time of the packet with which it could be decoded. The error for an unknown encoding matches ErrProtocol.
func decompress(resp *http.Response) error {
	switch encoding := strings.ToLower(strings.TrimSpace(resp.Header.Get("Content-Encoding"))); encoding {
	case "", "identity":
		return nil
	case "gzip", "x-gzip", "deflate":
		resp.Body = &inflated{wire: resp.Body, zlib: encoding == "deflate"}
		return nil
	default:
		return fmt.Errorf("%w: the body is encoded as %.40q, which this client did not ask for and cannot read",
			ErrProtocol, encoding)
	}
}

// inflated reads a compressed body.
type inflated struct {
	wire io.ReadCloser
	zlib bool
	in   io.Reader // nil before the first read, because creating it waits for bytes
}

func (b *inflated) Read(p []byte) (int, error) {
	if b.in == nil {
		var err error
		if b.zlib {
			b.in, err = deflated(b.wire)
		} else {
			b.in, err = gzip.NewReader(b.wire)
		}
		if err != nil {
			b.in = nil
			return 0, err
		}
	}
	n, err := b.in.Read(p)
	if n == 0 && err == io.EOF { // read what follows the compressed data, so that the connection can be reused
		_, err = io.Copy(io.Discard, io.LimitReader(b.wire, maxTail))
		if err == nil {
			err = io.EOF
		}
	}
	return n, err
}

// deflated reads the encoding "deflate": the zlib format by the standard, but bare deflate data from some servers.
func deflated(wire io.Reader) (io.Reader, error) {
	in := bufio.NewReader(wire)
	head, err := in.Peek(2)
	if err != nil {
		return nil, err
	}
	if head[0]&0x0f == 8 && (int(head[0])<<8|int(head[1]))%31 == 0 { // the header of the zlib format
		return zlib.NewReader(in)
	}
	return flate.NewReader(in), nil
}

func (b *inflated) Close() error { return b.wire.Close() }
