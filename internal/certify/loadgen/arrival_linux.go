//go:build (amd64 || arm64) && !race

// Excluded under the race detector, which only knows from package syscall that a read from a connection happens after
// the write on its other side.

package loadgen

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// kernelStamps reads with recvmsg, which returns the time at which the kernel received the last packet of a read. The
// kernel joins up to seventeen packets that wait to be read, and keeps only the time of the last one. So if the client
// reads late, the times of the others are lost.
type kernelStamps struct {
	net.Conn
	raw    syscall.RawConn
	at     time.Time
	waited time.Duration // how long the last packet waited to be read
	clock  wallClock

	// State of the read under way. receive is stored so that a read does not allocate a closure.
	p       []byte
	n       int
	err     error
	oob     [64]byte // room for the control message, which has 32 bytes
	oobn    int
	receive func(fd uintptr) bool
}

// kernelArrivals returns nil if the kernel does not stamp packets of this connection.
func kernelArrivals(c net.Conn) arrivalConn {
	socket, ok := c.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil
	}
	var set error
	if err := raw.Control(func(fd uintptr) {
		set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	}); err != nil || set != nil {
		return nil
	}
	k := &kernelStamps{Conn: c, raw: raw, clock: wallClock{seen: time.Now()}}
	k.receive = func(fd uintptr) bool {
		for {
			k.n, k.oobn, _, _, k.err = unix.Recvmsg(int(fd), k.p, k.oob[:], 0)
			if k.err != unix.EINTR {
				return k.err != unix.EAGAIN
			}
		}
	}
	return k
}

func (k *kernelStamps) arrived() time.Time  { return k.at }
func (k *kernelStamps) late() time.Duration { return k.waited }

// packets asks the kernel, which costs a system call and an allocation.
func (k *kernelStamps) packets() (n int, ok bool) {
	err := k.raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			n, ok = int(info.Data_segs_in), true
		}
	})
	return n, ok && err == nil
}

func (k *kernelStamps) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	k.p, k.n, k.oobn, k.err = p, 0, 0, nil
	err := k.raw.Read(k.receive)
	k.at, k.waited = time.Now(), 0
	k.p = nil
	switch {
	case err != nil:
		return 0, err
	case k.err != nil:
		return 0, &net.OpError{Op: "read", Net: "tcp", Source: k.LocalAddr(), Addr: k.RemoteAddr(),
			Err: os.NewSyscallError("recvmsg", k.err)}
	case k.n == 0:
		return 0, io.EOF
	}
	t, ok := stamp(k.oob[:k.oobn])
	read := k.at
	k.at = k.clock.arrival(read, t, ok)
	k.waited = read.Sub(k.at)
	return k.n, nil
}

// maxAgo is the largest accepted age of a stamp. Packets do not wait longer than that to be read.
const maxAgo = 10 * time.Second

// wallClock converts stamps, which are times of the wall clock, to the monotonic clock. It detects when the wall clock
// was set, which makes earlier stamps useless.
type wallClock struct {
	seen time.Time // when both clocks were last read
}

// arrival is when a packet arrived that was read at now: before now by the age of the kernel's stamp. It is now itself
// if there is no stamp, or if the clocks moved apart since they were last read. They may differ by a millisecond, for
// the time that reading both takes, and by a thousandth of the elapsed time, for slewing.
func (w *wallClock) arrival(now time.Time, stamp int64, stamped bool) time.Time {
	elapsed := now.Sub(w.seen)
	apart := now.Round(0).Sub(w.seen.Round(0)) - elapsed
	w.seen = now
	if !stamped || apart.Abs() > time.Millisecond+elapsed/1000 {
		return now
	}
	if ago := time.Duration(now.UnixNano() - stamp); ago > 0 && ago < maxAgo {
		return now.Add(-ago)
	}
	return now
}

// stamp finds SCM_TIMESTAMPNS among control messages. It is a struct timespec of two 64-bit fields.
func stamp(oob []byte) (ns int64, ok bool) {
	for len(oob) >= unix.SizeofCmsghdr {
		size := binary.NativeEndian.Uint64(oob)
		if size < unix.SizeofCmsghdr || size > uint64(len(oob)) {
			return 0, false
		}
		level, kind := binary.NativeEndian.Uint32(oob[8:]), binary.NativeEndian.Uint32(oob[12:])
		if data := oob[unix.SizeofCmsghdr:size]; level == unix.SOL_SOCKET && kind == unix.SCM_TIMESTAMPNS &&
			len(data) >= 16 {
			return int64(binary.NativeEndian.Uint64(data))*1e9 + int64(binary.NativeEndian.Uint64(data[8:])), true
		}
		oob = oob[min(uint64(len(oob)), (size+7)&^7):]
	}
	return 0, false
}
