//go:build (amd64 || arm64) && !race

// Not under the race detector: it learns from package syscall alone that what is read over a connection comes after
// what was done before the write.

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

// kernelStamps reads by recvmsg, which gives the time at which the kernel got the last packet read. The kernel joins
// packets that wait to be read, up to seventeen of them, and keeps the last one's time alone: where the client is
// late, nobody knows when the others came.
type kernelStamps struct {
	net.Conn
	raw    syscall.RawConn
	at     time.Time
	waited time.Duration // the last packet, to be read
	clock  wallClock

	// Of the read under way; receive is kept so that no read makes a new closure.
	p       []byte
	n       int
	err     error
	oob     [64]byte // one control message of 32 bytes
	oobn    int
	receive func(fd uintptr) bool
}

// kernelArrivals is nil where the kernel gives no stamps.
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

// packets asks the kernel, which takes a system call and some garbage.
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

// maxAgo bounds what a stamp is believed: nothing keeps a reader waiting for longer.
const maxAgo = 10 * time.Second

// wallClock turns stamps, which are on the wall clock, into times on the monotonic one, and notices when the wall
// clock was set: what a stamp from before says is worth nothing then.
type wallClock struct {
	seen time.Time // the last look at both clocks
}

// arrival is when a packet came that was read at now, with the kernel's stamp if there is one. Seen from now, it came
// a little while ago. Where the clocks moved apart since the last look, by more than the millisecond that reading
// both may take and the thousandth by which a clock is slewed, the time of the read has to do.
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

// stamp finds SCM_TIMESTAMPNS, a struct timespec of two 64-bit fields, among control messages.
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
