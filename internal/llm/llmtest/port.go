package llmtest

import (
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

var portsTaken atomic.Int64

// Port gives a port of 127.0.0.1 on which nothing listens, for what listens there later, or again, or never. A port
// that the system chose and that was closed again does not do: the system gives those to connections of other tests.
// This one is below them.
func Port(t testing.TB) string {
	t.Helper()
	const least, share = 10_000, 64 // tests that run at once have other numbers, and so begin at other ports
	most := 32_768
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		from, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\t")
		if n, err := strconv.Atoi(from); err == nil && n >= least+share {
			most = min(most, n)
		}
	}
	for range most - least {
		n := int64(os.Getpid())*share + portsTaken.Add(1)
		port := strconv.FormatInt(least+n%int64(most-least), 10)
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("every port is taken")
	return ""
}
