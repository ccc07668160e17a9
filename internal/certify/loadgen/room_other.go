//go:build !linux

package loadgen

import (
	"net"
	"syscall"
)

// writeRoom is the number of bytes that can be written without waiting.
func writeRoom(net.Conn, syscall.RawConn) int { return smallWrite }
