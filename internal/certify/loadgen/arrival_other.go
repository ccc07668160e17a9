//go:build !linux || race || !(amd64 || arm64)

package loadgen

import "net"

// kernelArrivals has no stamps to offer here.
func kernelArrivals(net.Conn) arrivalConn { return nil }
