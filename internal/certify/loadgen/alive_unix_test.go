//go:build unix

package loadgen

import (
	"net"
	"testing"
	"time"
)

// TestAClosedConnectionIsNotQuiet: a connection that the server has closed is found to be so, also when the time to
// wait for it is over before the first read. On a busy machine a goroutine may wait that long for a core.
func TestAClosedConnectionIsNotQuiet(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := newClient(t, "http://"+l.Addr().String(), ClientOptions{})
	cn, err := c.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer cn.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if !cn.quiet(-time.Second) {
		t.Error("an open connection is taken for a closed one")
	}
	server.Close()
	for end := time.Now().Add(time.Minute); cn.alive() && time.Now().Before(end); {
		time.Sleep(time.Millisecond) // the close is on its way
	}
	if cn.quiet(-time.Second) {
		t.Error("a closed connection is taken for an open one")
	}
}
