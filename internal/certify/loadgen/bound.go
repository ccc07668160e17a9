package loadgen

import (
	"fmt"
	"sync/atomic"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// Bounds of a response, in bytes. A server without end must not fill the client's memory or the run's time.
const (
	maxHeader = 64 << 10 // heads of interim responses included; servers and proxies send 8 KiB at most
	maxStream = 64 << 20 // 500 bytes for each of the most chunks
	maxWhole  = 4 << 20
	maxError  = 4 << 10 // of an error's body
	maxTail   = 4 << 10 // behind [DONE]

	// maxValues bounds the values of a chunk or a whole answer: what decoding it takes is some 100 bytes for each.
	maxValues = 1 << 16

	// maxHeld bounds what all answers under way hold together: texts, gaps, incomplete lines.
	maxHeld = 256 << 20
)

// bounds of an answer follow from the tokens that were asked for.
type bounds struct {
	tokens int // max_tokens of the request; 0: it has none
	chunks int
	text   int // bytes that are kept
}

// boundsOf allows eight chunks a token, and a thousand more for what is not a token: gateways that let text appear
// smoothly send a chunk for each letter, of which a token has four on average. A token is 4
// bytes on average and 64 on none.
func boundsOf(tokens int) bounds {
	if tokens <= 0 {
		return bounds{0, evidence.MaxChunks, evidence.MaxText}
	}
	few := min(tokens, evidence.MaxChunks)
	return bounds{tokens, min(8*few+1024, evidence.MaxChunks), min(64*(few+16), evidence.MaxText)}
}

// tooMany is the error of an answer with more chunks than its bounds allow.
func (b bounds) tooMany() error {
	if b.tokens == 0 {
		return fmt.Errorf("%w: more than %d chunks in one answer", ErrProtocol, b.chunks)
	}
	return fmt.Errorf("%w: more than %d chunks in one answer, where at most %d tokens were asked for", ErrProtocol,
		b.chunks, b.tokens)
}

// share is what one answer holds of the memory that all of a client's have together. nil has no bound.
type share struct {
	all  *atomic.Int64
	mine int64
}

// take adds bytes; the error is of a client that has no more of them.
func (s *share) take(n int) error {
	if s == nil || n == 0 {
		return nil
	}
	s.mine += int64(n)
	if s.all.Add(int64(n)) > maxHeld {
		return failure{evidence.FailClient, fmt.Errorf("this machine: memory: the answers under way hold more than "+
			"%d MiB", maxHeld>>20)}
	}
	return nil
}

// back gives all of it back.
func (s *share) back() {
	if s != nil {
		s.all.Add(-s.mine)
		s.mine = 0
	}
}
