package calibrate

import (
	"errors"
	"fmt"
	"math"

	"github.com/hxp-enterprise/mixtral/internal/infer/kernel"
	"github.com/hxp-enterprise/mixtral/internal/infer/kvcache"
	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
	"github.com/hxp-enterprise/mixtral/internal/model/convert"
)

// LeastContext is the shortest chunk: perplexity needs a token that follows another one in a chunk's second half.
const LeastContext = 4

// passTokens is how many tokens are computed at once: beyond, the weights are reused enough, and memory for logits
// grows for nothing.
const passTokens = 512

// ErrNotFinite is matched when a model computes NaN or infinite numbers.
var ErrNotFinite = errors.New("the model computes NaN or infinite numbers")

// Collector reads chunks. Close it. It is not safe for concurrent use, and nothing else may use the model meanwhile.
type Collector struct {
	m      *moe.Model
	sums   *convert.Sums
	inputs map[input]*convert.Sum
	kv     *kvcache.Storage
	blocks []int32
	chunk  int
	failed error // by the observer

	losses []float64 // of a pass
	loss   Loss
}

// input is one input of a model.
type input struct {
	layer int
	kind  moe.Input
}

// New prepares for chunks of so many tokens, at most the model's context. With output the matrix of the output is
// collected, too.
func New(m *moe.Model, context int, output bool) (*Collector, error) {
	cfg := m.Config()
	if context < LeastContext || context > cfg.Context {
		return nil, fmt.Errorf("chunks must have %d tokens up to the model's context of %d, got %d", LeastContext,
			cfg.Context, context)
	}
	blocks := kernel.Blocks(context)
	c := &Collector{m: m, sums: convert.NewSums(), inputs: map[input]*convert.Sum{}, kv: m.NewStorage(blocks),
		chunk: context}
	c.sums.ChunkSize = context
	for b := range int32(blocks) {
		c.blocks = append(c.blocks, b)
	}
	for layer := range cfg.Layers {
		c.share(layer, moe.AttentionInput, cfg.Dim, 1)
		c.share(layer, moe.AttentionOutput, cfg.Heads*cfg.HeadDim, 1)
		c.share(layer, moe.ExpertInput, cfg.Dim, cfg.Experts)
		c.share(layer, moe.ExpertHidden, cfg.FFN, cfg.Experts)
	}
	if output {
		c.share(cfg.Layers, moe.OutputInput, cfg.Dim, 1)
	}
	m.Observe(c.observe)
	return c, nil
}

func (c *Collector) share(layer int, kind moe.Input, cols, parts int) {
	c.inputs[input{layer, kind}] = c.sums.Share(cols, parts, kind.Tensors(layer)...)
}

// Close lets the model alone.
func (c *Collector) Close() { c.m.Observe(nil) }

func (c *Collector) observe(layer int, kind moe.Input, expert int, rows [][]float32) {
	s := c.inputs[input{layer, kind}]
	if s == nil || c.failed != nil {
		return
	}
	if err := s.Add(expert, rows); err != nil {
		c.failed = fmt.Errorf("%w: input of %s, expert %d: %w", ErrNotFinite, kind.Tensors(layer)[0], expert, err)
	}
}

// Read lets the model read one chunk.
func (c *Collector) Read(tokens []int32) error {
	if len(tokens) != c.chunk {
		return fmt.Errorf("a chunk must have %d tokens, got %d", c.chunk, len(tokens))
	}
	for at := 0; at < len(tokens); at += passTokens {
		pass := tokens[at:min(at+passTokens, len(tokens))]
		rows, err := c.m.Forward(c.kv, []moe.Span{{Tokens: pass, Start: at, Blocks: c.blocks, Logits: len(pass)}})
		if err = errors.Join(err, c.failed); err != nil {
			return err
		}
		// The first half is context only; the last token has none that follows.
		first := max(len(tokens)/2, at) - at
		end := min(len(tokens)-1, at+len(pass)) - at
		if err := c.score(rows, first, tokens[at+1:], end); err != nil {
			return err
		}
	}
	c.sums.Chunks++
	return nil
}

// score adds the losses of rows first … end−1; next[i] is the token that follows row i's.
func (c *Collector) score(rows [][]float32, first int, next []int32, end int) error {
	if first >= end {
		return nil
	}
	c.losses = append(c.losses[:0], make([]float64, end-first)...)
	c.m.Parallel(end-first, func(_, i int) { c.losses[i] = loss(rows[first+i], next[first+i]) })
	for _, v := range c.losses {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("%w: the loss of a token is %v", ErrNotFinite, v)
		}
		c.loss.add(v)
	}
	return nil
}

// loss is −log softmax(logits)[id].
func loss(logits []float32, id int32) float64 {
	top := math.Inf(-1)
	for _, v := range logits {
		top = max(top, float64(v))
	}
	sum := 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v) - top)
	}
	return math.Log(sum) + top - float64(logits[id])
}

// Sums gives what was collected so far; its Datasets are the caller's. It is the collector's own.
func (c *Collector) Sums() *convert.Sums { return c.sums }

// Loss gives the loss of the chunks read so far.
func (c *Collector) Loss() Loss { return c.loss }

// Loss is that of tokens in the second halves of chunks, in nats a token.
type Loss struct {
	Tokens       int
	sum, squares float64
}

func (l *Loss) add(v float64) {
	l.Tokens++
	l.sum += v
	l.squares += v * v
}

// Mean gives the mean loss and its standard error, as if tokens were independent of each other; NaN without tokens.
func (l Loss) Mean() (mean, err float64) {
	n := float64(l.Tokens)
	mean = l.sum / n
	return mean, math.Sqrt(max(l.squares/n-mean*mean, 0) / (n - 1))
}

// Perplexity gives exp of the mean, and its standard error.
func (l Loss) Perplexity() (perplexity, err float64) {
	mean, e := l.Mean()
	return math.Exp(mean), math.Exp(mean) * e
}

// Chunks cuts a text into chunks. bos replaces each one's first token; −1 leaves it.
func Chunks(tokens []int32, context int, bos int32) [][]int32 {
	var chunks [][]int32
	for len(tokens) >= context {
		chunk := append([]int32(nil), tokens[:context]...)
		if bos >= 0 {
			chunk[0] = bos
		}
		chunks = append(chunks, chunk)
		tokens = tokens[context:]
	}
	return chunks
}
