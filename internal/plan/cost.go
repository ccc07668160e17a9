package plan

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/hxp-enterprise/mixtral/internal/base/plainjson"
)

// ErrProfile is matched by errors about a profile's content.
var ErrProfile = errors.New("invalid profile")

// Step is the work of one forward pass.
type Step struct {
	Prompt        int   // tokens of prompts
	Decoding      int   // sequences that get a next token
	Rows          int   // rows of logits: next tokens, also of prompts that end in this step
	Context       int64 // positions that decoding sequences attend to, summed over them
	PromptContext int64 // positions that prompt tokens attend to, summed over the tokens
}

// Tokens is the number of tokens that the step computes.
func (s Step) Tokens() int { return s.Prompt + s.Decoding }

// Bound is what a step mostly waits for.
type Bound string

// The bounds of a step. A cost model that cannot tell uses Unknown.
const (
	Bandwidth Bound = "bandwidth" // reading weights and keys and values
	Compute   Bound = "compute"   // products
	Links     Bound = "links"     // between the accelerators of a replica
	Unknown   Bound = ""
)

// Cost says how long the work of a replica takes.
type Cost interface {
	// Step returns the seconds of a forward pass and of sending out its results, and what bounds them.
	Step(Step) (float64, Bound)
	// Request returns the seconds that a request takes besides its steps: connection, parsing, tokenising.
	Request() float64
}

// Profile is a measured cost: how long steps of various sizes take on one machine with one model.
type Profile struct {
	SchemaVersion int    `json:"schema_version"`
	Model         string `json:"model"`
	Machine       string `json:"machine"` // processor
	Tier          string `json:"tier"`    // of kernels
	Threads       int    `json:"threads"`

	// Points are the seconds of a step by its number of tokens, in rising order; the time is linear between two
	// points.
	Points []Point `json:"points"`
	// PerRow is the seconds for each row of logits: its product, the choice of a token, and sending it out.
	PerRow float64 `json:"seconds_per_row"`
	// PerContext is the seconds for each position that a decoding sequence attends to, PerPromptContext for each
	// position that a token of a prompt attends to.
	PerContext       float64 `json:"seconds_per_context"`
	PerPromptContext float64 `json:"seconds_per_prompt_context"`
	// PerRequest is the seconds that a request takes besides its steps.
	PerRequest float64 `json:"seconds_per_request"`

	// The settings of a replica's scheduler.
	MaxRunning    int   `json:"max_running"`
	PrefillChunk  int   `json:"prefill_chunk"`
	ContextLength int   `json:"context_length"`
	BlockTokens   int   `json:"block_tokens"`
	KVBlocks      int   `json:"kv_blocks"`
	KVBlockBytes  int64 `json:"kv_block_bytes"`
}

// Point is one measured number of tokens.
type Point struct {
	Tokens  int     `json:"tokens"`
	Seconds float64 `json:"seconds"` // median
	Low     float64 `json:"low"`     // lowest and highest measurement
	High    float64 `json:"high"`
}

// profileVersion is the version of the file format.
const profileVersion = 1

// maxProfile bounds a profile file: a hundred points are about 10 KB.
const maxProfile = 1 << 20

// ReadProfile reads a file that bench --profile wrote. Errors match ErrProfile and name the field.
func ReadProfile(data []byte) (*Profile, error) {
	if len(data) > maxProfile {
		return nil, fmt.Errorf("%w: it has %d bytes, at most %d are allowed", ErrProfile, len(data), maxProfile)
	}
	p := &Profile{}
	if err := json.Unmarshal(data, p); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProfile, plainjson.At(data, err))
	}
	return p, p.check()
}

func (p *Profile) check() error {
	bad := func(field, reason string, args ...any) error {
		return fmt.Errorf("%w: %s: %s", ErrProfile, field, fmt.Sprintf(reason, args...))
	}
	switch {
	case p.SchemaVersion != profileVersion:
		return bad("schema_version", "must be %d, got %d", profileVersion, p.SchemaVersion)
	case len(p.Points) < 2 || len(p.Points) > 10_000:
		return bad("points", "must have 2 to 10000 entries, got %d", len(p.Points))
	case p.Points[0].Tokens != 1:
		return bad("points", "must begin at 1 token, got %d", p.Points[0].Tokens)
	}
	for i, at := range p.Points {
		if !positive(at.Seconds) {
			return bad("points", "must have seconds above 0, got %v for %d tokens", at.Seconds, at.Tokens)
		}
		if i > 0 && at.Tokens <= p.Points[i-1].Tokens {
			return bad("points", "must have rising tokens, got %d after %d", at.Tokens, p.Points[i-1].Tokens)
		}
	}
	seconds := map[string]float64{"seconds_per_row": p.PerRow, "seconds_per_context": p.PerContext,
		"seconds_per_prompt_context": p.PerPromptContext, "seconds_per_request": p.PerRequest}
	for _, name := range slices.Sorted(maps.Keys(seconds)) {
		if v := seconds[name]; !(v >= 0) || math.IsInf(v, 1) {
			return bad(name, "must be a number of at least 0, got %v", v)
		}
	}
	counts := map[string]int{"max_running": p.MaxRunning, "prefill_chunk": p.PrefillChunk,
		"context_length": p.ContextLength, "block_tokens": p.BlockTokens, "kv_blocks": p.KVBlocks}
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		if v := counts[name]; v < 1 || v > 1<<30 {
			return bad(name, "must be between 1 and %d, got %d", 1<<30, v)
		}
	}
	return nil
}

func positive(v float64) bool { return v > 0 && !math.IsInf(v, 1) }

// Step implements Cost. A step is bound by compute if its time per token is at least half of that of the largest
// measured step. Otherwise it is bound by bandwidth: more tokens would cost little.
func (p *Profile) Step(s Step) (float64, Bound) {
	n := s.Tokens()
	seconds := p.weights(n) + p.PerRow*float64(s.Rows) + p.PerContext*float64(s.Context) +
		p.PerPromptContext*float64(s.PromptContext)
	last := p.Points[len(p.Points)-1]
	if more := p.weights(n+1) - p.weights(n); more >= last.Seconds/float64(last.Tokens)/2 {
		return seconds, Compute
	}
	return seconds, Bandwidth
}

// weights returns the part of a step's time that depends only on its number of tokens.
func (p *Profile) weights(n int) float64 {
	i, found := slices.BinarySearchFunc(p.Points, n, func(at Point, n int) int { return at.Tokens - n })
	if found {
		return p.Points[i].Seconds
	}
	// The nearest line continues beyond the ends. Nothing is before the first point, which is one token.
	i = min(max(i, 1), len(p.Points)-1)
	a, b := p.Points[i-1], p.Points[i]
	slope := (b.Seconds - a.Seconds) / float64(b.Tokens-a.Tokens)
	return max(a.Seconds+slope*float64(n-a.Tokens), 0)
}

// Request implements Cost.
func (p *Profile) Request() float64 { return p.PerRequest }

// Replica returns the settings of a replica's scheduler.
func (p *Profile) Replica() Replica {
	return Replica{Cost: p, MaxRunning: p.MaxRunning, MaxWaiting: defaultWaiting, Chunk: p.PrefillChunk,
		Context: p.ContextLength, BlockTokens: p.BlockTokens, Blocks: p.KVBlocks, BlockBytes: p.KVBlockBytes}
}
