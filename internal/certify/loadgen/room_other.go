//go:build !linux

package loadgen

import (
	"net"
	"syscall"
)

// writeRoom says how many bytes a write is sure not to wait for.
func writeRoom(net.Conn, syscall.RawConn) int { return smallWrite }
