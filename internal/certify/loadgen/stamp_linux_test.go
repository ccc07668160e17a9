//go:build (amd64 || arm64) && !race

package loadgen

import (
	"encoding/binary"
	"io"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// message is a control message with its padding.
func message(level, kind uint32, data ...uint64) []byte {
	m := binary.NativeEndian.AppendUint64(nil, uint64(unix.SizeofCmsghdr+8*len(data)))
	m = binary.NativeEndian.AppendUint32(m, level)
	m = binary.NativeEndian.AppendUint32(m, kind)
	for _, d := range data {
		m = binary.NativeEndian.AppendUint64(m, d)
	}
	return m
}

func TestStamp(t *testing.T) {
	good := message(unix.SOL_SOCKET, unix.SCM_TIMESTAMPNS, 12, 34)
	other := message(unix.SOL_SOCKET, unix.SCM_RIGHTS, 5)
	for _, c := range []struct {
		name string
		oob  []byte
		ns   int64
		ok   bool
	}{
		{"alone", good, 12_000_000_034, true},
		{"second", append(other, good...), 12_000_000_034, true},
		{"none", other, 0, false},
		{"nothing", nil, 0, false},
		{"cut", good[:len(good)-1], 0, false},
		{"too short", message(unix.SOL_SOCKET, unix.SCM_TIMESTAMPNS, 12), 0, false},
		{"length of nothing", make([]byte, 32), 0, false},
	} {
		if ns, ok := stamp(c.oob); ns != c.ns || ok != c.ok {
			t.Errorf("%s: %d, %v; want %d, %v", c.name, ns, ok, c.ns, c.ok)
		}
	}
}

func FuzzStamp(f *testing.F) {
	f.Add(message(unix.SOL_SOCKET, unix.SCM_TIMESTAMPNS, 1, 2))
	f.Add(message(unix.SOL_SOCKET, unix.SCM_RIGHTS, 1))
	f.Fuzz(func(t *testing.T, oob []byte) {
		if ns, ok := stamp(oob); !ok && ns != 0 {
			t.Fatal("a stamp that is none")
		}
	})
}

// TestArrivalIsNotTheRead: bytes that wait to be read keep the time at which they arrived.
func TestArrivalIsNotTheRead(t *testing.T) {
	in, out := socketPair(t)
	a := stampArrivals(in, SystemClock())
	buf := make([]byte, 16)
	const slack = time.Millisecond // for the difference between the wall clock and the monotonic clock
	for range 50 {                 // the kernel begins to stamp a little after a socket first asks for it
		sent := time.Now()
		if _, err := io.WriteString(out, "x"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
		reading := time.Now()
		if n, err := a.Read(buf); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		at := a.arrived()
		if at.Before(sent.Add(-slack)) || at.After(time.Now()) {
			t.Fatalf("sent at %v, arrived %v later", sent, at.Sub(sent))
		}
		if at.Before(reading) {
			return
		}
	}
	t.Error("50 reads late by 10 ms are all stamped with their own time")
}
