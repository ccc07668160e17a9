package probe

import (
	"fmt"
	"os"
)

// Ports is the number of connections to one address that this machine can have at once, by its range of local ports.
// ok is false if the system does not report it.
func Ports() (n int, ok bool) {
	data, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return 0, false
	}
	var from, to int
	if k, err := fmt.Sscan(string(data), &from, &to); err != nil || k != 2 || to < from {
		return 0, false
	}
	return to - from + 1, true
}
