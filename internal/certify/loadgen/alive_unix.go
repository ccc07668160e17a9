//go:build unix

package loadgen

import "golang.org/x/sys/unix"

// alive says whether an idle connection can still be used. Servers close idle connections after some seconds, and a
// request on a closed one would count as the server's failure.
func (cn *conn) alive() bool {
	if cn.raw == nil {
		return true
	}
	ok := false
	err := cn.raw.Read(func(fd uintptr) bool {
		var b [1]byte
		n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		// Normally there is nothing to read. Only TLS sends data without a request: session tickets.
		ok = err == unix.EAGAIN || err == unix.EINTR || err == nil && n > 0 && cn.tls
		return true
	})
	return err == nil && ok
}
