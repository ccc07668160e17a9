package offset

// Exchange has the times of a message to the other machine and its answer, in nanoseconds. Sent and Received are read
// from the near clock, Came and Left from the far one. Sent must be read before the message leaves, Came after it has
// arrived, Left before the answer leaves, and Received after it has arrived. Then no delay can make the bound wrong.
type Exchange struct {
	Sent, Received int64
	Came, Left     int64
}

// RoundTrip is the time that both messages together were on their way, in nanoseconds.
func (e Exchange) RoundTrip() int64 { return (e.Received - e.Sent) - (e.Left - e.Came) }

// Reading is one measurement of the offset, near clock − far clock, in nanoseconds. When the far clock showed There,
// the offset was Offset ± Error.
type Reading struct {
	There         int64
	Offset, Error int64
}

// Reading computes the offset from an exchange. The message arrived after it was sent, and the answer was received
// after it left, so the offset is between Sent − Came and Received − Left.
func (e Exchange) Reading() Reading {
	lo, hi := e.Sent-e.Came, e.Received-e.Left
	return Reading{There: e.Came + (e.Left-e.Came)/2, Offset: lo + (hi-lo)/2, Error: (hi - lo + 1) / 2}
}

// Best is the exchange with the shortest round trip, which gives the narrowest bounds. list must not be empty.
func Best(list []Exchange) Exchange {
	best := list[0]
	for _, e := range list[1:] {
		if e.RoundTrip() < best.RoundTrip() {
			best = e
		}
	}
	return best
}
