//go:build !linux || race || !(amd64 || arm64)

package loadgen

import "net"

// kernelArrivals returns nil, because stamps of the kernel cannot be used here.
func kernelArrivals(net.Conn) arrivalConn { return nil }
