package loadgen

import (
	"net"
	"time"
)

// arrivalConn is a connection that knows when the bytes of its last Read came.
type arrivalConn interface {
	net.Conn
	arrived() time.Time
	// late is how long the bytes of the last Read had waited for it; 0 where nobody knows
	late() time.Duration
	// packets is how many packets with data have come over it so far; ok is false where nobody knows
	packets() (n int, ok bool)
}

// stampArrivals makes a connection tell arrivals: by the kernel's stamp of the packet where it gives one, and clock is
// the system's, otherwise by the time at which Read returns. The kernel's does not depend on how soon this process
// gets a processor, which on a machine that the server under test keeps busy takes milliseconds.
func stampArrivals(c net.Conn, clock Clock) arrivalConn {
	if clock == SystemClock() {
		if a := kernelArrivals(c); a != nil {
			return a
		}
	}
	return &readStamps{Conn: c, clock: clock}
}

// readStamps stamps when Read returns.
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
