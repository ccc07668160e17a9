package loadgen

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// sendBuffer is the requested size of send buffers, in bytes. The system grants up to net.core.wmem_max, and doubles
// that for its own overhead.
const sendBuffer = 512 << 10

// writeRoom makes a socket's send buffer large enough for inlineWrite. It returns the number of bytes that can be
// written without waiting while nothing else is in the buffer.
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
	if size >= 3*inlineWrite { // a packet needs up to twice its size
		return inlineWrite
	}
	return smallWrite
}
