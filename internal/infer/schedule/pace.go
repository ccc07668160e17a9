package schedule

import "time"

const (
	// A step with somebody's next token in it may take slowdown times as long as without prompts, or softLimit if
	// that is longer: the inter-token latency that others' prompts may cost. Half of a step for each side keeps both
	// moving; 100 ms, 10 tokens a second, is still faster than people read, and a smaller limit would make the first
	// token of those who wait late for nothing.
	slowdown  = 2
	softLimit = 100 * time.Millisecond
	// A step of prompts alone may take idleLimit: nobody waits for its end but requests that come meanwhile.
	idleLimit = time.Second
	// The least prompt tokens in a step, whatever the limits: below that, prompts would never end. The weights of most
	// experts are read for 16 tokens already, so fewer would hardly be faster.
	leastMixed = 16
	leastAlone = 128
	// smoothing is the weight of a new measurement: some ten steps are remembered.
	smoothing = 0.2
)

// Pacer decides how many prompt tokens join a step, from how long steps took. It is pure: time comes in as numbers.
type Pacer struct {
	Chunk    int     // most prompt tokens in a step
	decode   float64 // seconds of a step without prompt tokens; 0: not measured yet
	perToken float64 // seconds that a prompt token adds; 0: not measured yet
}

// Budget gives the prompt tokens for the next step. decoding says whether somebody waits for a next token in it.
func (p *Pacer) Budget(decoding bool) int {
	least, limit := leastAlone, idleLimit.Seconds()
	if decoding {
		least, limit = leastMixed, max(slowdown*p.decode, softLimit.Seconds())-p.decode
	}
	if p.perToken == 0 {
		return min(p.Chunk, 2*least)
	}
	return min(p.Chunk, max(least, int(min(limit/p.perToken, float64(p.Chunk)))))
}

// Record takes note of a step: how many sequences decoded, how many prompt tokens there were, and how long it took.
func (p *Pacer) Record(decoding, prompt int, took time.Duration) {
	seconds := took.Seconds()
	switch {
	case prompt == 0:
		p.decode = Smooth(p.decode, seconds)
	case decoding == 0:
		p.perToken = Smooth(p.perToken, seconds/float64(prompt))
	case p.decode > 0 && seconds > p.decode:
		p.perToken = Smooth(p.perToken, (seconds-p.decode)/float64(prompt))
	}
}

// Smooth blends a new measurement into an old one; 0 means that there is none yet.
func Smooth(old, seen float64) float64 {
	if old == 0 {
		return seen
	}
	return old + smoothing*(seen-old)
}
