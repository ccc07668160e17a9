package loadgen

import (
	"fmt"
	"sync/atomic"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// Bounds of a response, in bytes. A server that never stops sending must not fill the client's memory or use up the
// run's time.
const (
	maxHeader = 64 << 10 // including the heads of interim responses; servers and proxies send 8 KiB at most
	maxStream = 64 << 20 // 500 bytes for each of evidence.MaxChunks
	maxWhole  = 4 << 20
	maxError  = 4 << 10 // body of an error response
	maxTail   = 4 << 10 // what follows [DONE]

	// maxValues bounds the JSON values of a chunk or of an unstreamed answer. Decoding takes about 100 bytes for each.
	maxValues = 1 << 16

	// maxHeld bounds the memory of all answers under way together: texts, gaps and incomplete lines.
	maxHeld = 256 << 20
)

// bounds limit an answer by the number of tokens that were asked for.
type bounds struct {
	tokens int // max_tokens of the request; 0 if it has none
	chunks int
	text   int // bytes of text that are kept
}

// boundsOf allows eight chunks for each token, because gateways that smooth the stream send a chunk for each letter,
// and a token has four letters on average. It allows a thousand more for chunks without a token. For text it allows 64
// bytes for each token, which has 4 on average.
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

// share is the part of the client's memory for answers that one answer uses. A nil share has no bound.
type share struct {
	all  *atomic.Int64
	mine int64
}

// take adds n bytes. It returns an error of class evidence.FailClient if all answers together exceed maxHeld.
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

// back returns the whole share.
func (s *share) back() {
	if s != nil {
		s.all.Add(-s.mine)
		s.mine = 0
	}
}
