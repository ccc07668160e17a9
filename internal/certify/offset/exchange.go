package offset

// Exchange is a message to the other machine and its answer. Sent and Received are read from the near clock, Came and
// Left from the far one, in nanoseconds. Sent must be read before the message leaves and Received after the answer has
// come, Came after the message has come and Left before the answer leaves: then no delay can make the bound wrong.
type Exchange struct {
	Sent, Received int64
	Came, Left     int64
}

// RoundTrip is the time that the messages were on their way.
func (e Exchange) RoundTrip() int64 { return (e.Received - e.Sent) - (e.Left - e.Came) }

// Reading is what is known of the offset, near clock − far clock, when the far clock showed There: it is
// Offset ± Error.
type Reading struct {
	There         int64
	Offset, Error int64
}

// Reading gives the offset by an exchange. The message came after it was sent, and the answer was received after it
// left: the offset lies from Sent − Came to Received − Left.
func (e Exchange) Reading() Reading {
	lo, hi := e.Sent-e.Came, e.Received-e.Left
	return Reading{There: e.Came + (e.Left-e.Came)/2, Offset: lo + (hi-lo)/2, Error: (hi - lo + 1) / 2}
}

// Best is the exchange with the shortest round trip, which bounds the offset best.
func Best(list []Exchange) Exchange {
	best := list[0]
	for _, e := range list[1:] {
		if e.RoundTrip() < best.RoundTrip() {
			best = e
		}
	}
	return best
}
