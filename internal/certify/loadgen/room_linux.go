package loadgen

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// sendBuffer is what is asked for; the system gives up to net.core.wmem_max, doubled for its own overhead.
const sendBuffer = 512 << 10

// writeRoom makes a socket's send buffer large enough for inlineWrite, and says how many bytes a write is sure not to
// wait for while nothing else is under way.
func writeRoom(socket net.Conn, raw syscall.RawConn) int {
	tcp, ok := socket.(*net.TCPConn)
	if !ok || raw == nil || tcp.SetWriteBuffer(sendBuffer) != nil {
		return smallWrite
	}
	size := 0
	if raw.Control(func(fd uintptr) {
		size, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF)
	}) != nil {
		return smallWrite
	}
	if size >= 3*inlineWrite { // a packet takes up to twice its bytes
		return inlineWrite
	}
	return smallWrite
}
