package access

import (
	"log/slog"
	"net"
	"testing"
	"time"
)

// TestWhatIsReadWaits: data from a connection is held back for as long as the process has to rest.
func TestWhatIsReadWaits(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := LimitListener(inner, 4, slog.New(slog.DiscardHandler), nil)
	defer l.Close()
	const rest = 30 * time.Millisecond
	asked := 0
	l.Hold = func() time.Duration { asked++; return rest }
	out, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	began := time.Now()
	if _, err := out.Write([]byte("frame")); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 16)
	if n, err := in.Read(p); err != nil || string(p[:n]) != "frame" {
		t.Errorf("read %q, %v", p[:n], err)
	}
	if took := time.Since(began); took < rest || asked != 1 {
		t.Errorf("it took %s and asked %d times, want %s at least, once", took, asked, rest)
	}
}
