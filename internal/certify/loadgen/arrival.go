package loadgen

import (
	"net"
	"time"
)

// arrivalConn is a connection that knows when the bytes of its last Read arrived.
type arrivalConn interface {
	net.Conn
	arrived() time.Time
	// late is how long the bytes of the last Read had waited to be read; 0 if that is not known
	late() time.Duration
	// packets is the number of packets with data received so far; ok is false if that is not known
	packets() (n int, ok bool)
}

// stampArrivals wraps a connection so that it knows arrival times. If clock is the system's, and the kernel stamps
// packets, an arrival is the stamp of the packet. Otherwise it is the time at which Read returns. The kernel's stamp
// does not depend on how soon this process gets a processor, which takes milliseconds on a machine that the server
// under test keeps busy.
func stampArrivals(c net.Conn, clock Clock) arrivalConn {
	if clock == SystemClock() {
		if a := kernelArrivals(c); a != nil {
			return a
		}
	}
	return &readStamps{Conn: c, clock: clock}
}

// readStamps takes the time at which Read returns as the arrival.
type readStamps struct {
	net.Conn
	clock Clock
	at    time.Time
}

func (c *readStamps) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.at = c.clock.Now()
	return n, err
}

func (c *readStamps) arrived() time.Time   { return c.at }
func (c *readStamps) late() time.Duration  { return 0 }
func (c *readStamps) packets() (int, bool) { return 0, false }
