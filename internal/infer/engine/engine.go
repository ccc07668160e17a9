package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/base/token"
	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/grammar"
	"github.com/hxp-enterprise/mixtral/internal/infer/kernel"
	"github.com/hxp-enterprise/mixtral/internal/infer/kvcache"
	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/infer/schedule"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/model/chat"
)

var (
	// ErrConfig is matched when a Config asks for what cannot be; the message names the field.
	ErrConfig = errors.New("bad engine configuration")
	// ErrMemory is matched when the KV cache cannot hold one sequence of the context; the message shows the
	// arithmetic.
	ErrMemory = errors.New("KV cache too small")
)

// Config tunes an engine. Zero values mean the defaults.
type Config struct {
	ModelID       string // default: the file's general.name, or "mixtral"
	Workers       int    // computing threads; default: one for each CPU
	MaxRunning    int    // requests computed together; default 10
	MaxWaiting    int    // requests that wait beyond those; default 100; negative: none may wait
	ContextLength int    // tokens of prompt and completion together; default: what the model was trained for
	// memory for keys and values; default: MaxRunning whole contexts, at most 1 GiB, at least one context
	KVBytes      int64
	KVType       quant.KVType // how keys and values are kept; default: binary16
	PrefillChunk int          // most prompt tokens in one step; default 512
	ChatTemplate string       // a name of chat.Names, or a template; default: the file's
	NoGuesses    bool         // compute no guessed tokens (prompt lookup): for measuring what a step takes
	Logger       *slog.Logger // default: none
	// called once when the weights can no longer be read, as their file was cut or rewritten (gguf.ErrChanged): the
	// engine has ended, and refuses all requests; default: none
	Lost func(error)
	// called after each step; it may sleep, to keep within a share of the processors; default: none
	Throttle func()
}

const (
	defaultRunning = 10
	defaultWaiting = 100
	defaultChunk   = 512
	defaultKV      = 1 << 30
	// contextsKept bounds the KV cache: what MaxRunning whole contexts take, and three times that for prefixes that
	// may come again. More would only cost bookkeeping.
	contextsKept = 4
	// indexDelay leaves the first request alone: the vocabulary's index takes 50 ms of one core for 32,000 tokens.
	indexDelay = time.Second
)

// Engine runs one model for many requests. It implements llm.Backend.
type Engine struct {
	model  llm.Model
	tok    *token.Tokenizer
	format *chat.Format // nil: the model cannot chat
	noChat string       // why
	net    *moe.Model
	kv     *kvcache.Storage
	memory *kernel.Arena // of kv
	log    *slog.Logger
	lost   func(error)
	closed chan struct{} // the loop has ended and everything is freed

	mu       sync.Mutex
	wake     sync.Cond // on mu: there is work, or closing or broken is set
	sched    *schedule.Scheduler
	requests map[*schedule.Seq]*request
	closing  bool
	broken   error // the model can compute nothing any more; the loop ends the engine

	vocabulary func() (*grammar.Vocabulary, error)
	indexed    chan struct{} // closed when vocabulary has its result
	marks      []int32       // control tokens that calls of tools are written with
	grammars   grammars

	// The loop's own.
	pace     schedule.Pacer
	spans    []moe.Span
	rows     [][][]float32 // of logits, of each span
	plan     schedule.Decisions
	settlers []settler // one for each computing thread
	cost     costs
	drafts   [][]int32
	shares   []float64
	alone    bool // Config.NoGuesses
	throttle func()
	guessed  int64 // tokens guessed and computed since start
	right    int64 // those that turned out right; written under mu
}

// New loads a model and starts its loop. The file may be closed once New has returned. Close frees everything.
func New(f *gguf.File, c Config) (*Engine, error) {
	var tok *token.Tokenizer
	read := make(chan error, 1)
	go func() { // 10 ms for 32,000 tokens, in which the weights can be mapped
		var err error
		tok, err = tokenizer(f)
		read <- err
	}()
	net, err := moe.Load(f, moe.Options{Workers: c.Workers})
	if bad := <-read; bad != nil {
		if net != nil {
			return nil, errors.Join(bad, net.Close())
		}
		return nil, bad
	}
	if err != nil {
		return nil, err
	}
	e, err := start(f, c, tok, net)
	if err != nil {
		return nil, errors.Join(err, net.Close())
	}
	return e, nil
}

// tokenizer reads a file's vocabulary.
func tokenizer(f *gguf.File) (t *token.Tokenizer, err error) {
	defer gguf.Catch(&err)() // the file may be cut while it is read
	spec, err := moe.TokenSpec(f)
	if err != nil {
		return nil, err
	}
	if t, err = token.New(spec); err != nil {
		return nil, fmt.Errorf("%w: %w", moe.ErrModel, err)
	}
	return t, nil
}

// start checks the numbers against each other and sizes the KV cache.
func start(f *gguf.File, c Config, tok *token.Tokenizer, net *moe.Model) (*Engine, error) {
	shape := net.Config()
	if tok.Vocab() > shape.Vocab {
		return nil, fmt.Errorf("%w: %d tokens in tokenizer.ggml.tokens, but token_embd.weight has %d rows",
			moe.ErrModel, tok.Vocab(), shape.Vocab)
	}
	c.defaults(f, shape)
	switch {
	case c.MaxRunning < 1 || c.MaxRunning > 1<<16:
		return nil, fmt.Errorf("%w: MaxRunning must be 1 to %d, got %d", ErrConfig, 1<<16, c.MaxRunning)
	case c.ContextLength < 2 || c.ContextLength > shape.Context:
		return nil, fmt.Errorf("%w: ContextLength must be 2 to %d, what the model was trained for, got %d", ErrConfig,
			shape.Context, c.ContextLength)
	case c.PrefillChunk < 1:
		return nil, fmt.Errorf("%w: PrefillChunk must be at least 1, got %d", ErrConfig, c.PrefillChunk)
	}
	blocks, err := blocksFor(c, net)
	if err != nil {
		return nil, err
	}
	memory, kv, err := newStorage(net.Config().KVLayout(c.KVType, blocks))
	if err != nil {
		return nil, err
	}
	e := &Engine{
		model: llm.Model{ID: c.ModelID, Created: time.Now(), ContextLength: c.ContextLength, Vocab: tok.Vocab()},
		tok:   tok, net: net, log: c.Logger, lost: c.Lost, closed: make(chan struct{}),
		kv: kv, memory: memory,
		requests: map[*schedule.Seq]*request{},
		pace:     schedule.Pacer{Chunk: c.PrefillChunk}, alone: c.NoGuesses, throttle: c.Throttle,
		cost: costs{expect: expectation(net.Info())},
	}
	e.wake.L = &e.mu
	if err := e.chooseFormat(f, c.ChatTemplate); err != nil {
		return nil, errors.Join(err, memory.Close())
	}
	e.chooseMarks()
	e.vocabulary = sync.OnceValues(e.newVocabulary)
	e.grammars.compiling = make(chan struct{}, 1)
	for range net.Workers() {
		e.settlers = append(e.settlers, settler{engine: e})
	}
	e.sched = schedule.New(schedule.Limits{Running: c.MaxRunning, Waiting: c.MaxWaiting,
		BlockTokens: kernel.BlockTokens,
		Context:     c.ContextLength}, kvcache.NewPool(blocks))
	e.log.Info("engine started", "model", c.ModelID, "weights_bytes", net.Info().Packed, "kv_blocks", blocks,
		"kv_type", c.KVType.String(),
		"kv_bytes", int64(blocks)*e.kv.Layout().BytesPerBlock(), "context", c.ContextLength, "running", c.MaxRunning,
		"workers", net.Workers(), "cpu_tier", kernel.Tier())
	if e.format == nil {
		e.log.Warn("the model cannot chat: only /v1/completions is answered", "reason", e.noChat)
	}
	e.indexed = make(chan struct{})
	go func() { // so that the first answer that is held to a form need not wait
		defer close(e.indexed)
		timer := time.NewTimer(indexDelay)
		defer timer.Stop()
		select {
		case <-e.closed:
			return
		case <-timer.C:
		}
		if v, err := e.vocabulary(); err == nil {
			v.Prepare()
		}
	}()
	if packed := net.PackedLater(); packed != nil {
		go e.watch(packed)
	}
	go e.loop()
	return e, nil
}

func (c *Config) defaults(f *gguf.File, shape moe.Config) {
	if c.ModelID == "" {
		c.ModelID = f.StringOr("general.name", "")
	}
	if c.ModelID == "" {
		c.ModelID = "mixtral"
	}
	if c.MaxRunning == 0 {
		c.MaxRunning = defaultRunning
	}
	if c.MaxWaiting == 0 {
		c.MaxWaiting = defaultWaiting
	}
	c.MaxWaiting = max(c.MaxWaiting, 0)
	if c.ContextLength == 0 {
		c.ContextLength = shape.Context
	}
	if c.PrefillChunk == 0 {
		c.PrefillChunk = defaultChunk
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Throttle == nil {
		c.Throttle = func() {}
	}
}

// opsPerByte is the balance of the machines this was made on: 925 GOP/s of 8-bit products and 33 GB/s from memory. It
// only matters until steps have been timed.
const opsPerByte = 28

// expectation gives the relative cost of decoding steps: the weights they read, or the products with them.
func expectation(info moe.Info) func(tokens int) float64 {
	return func(n int) float64 {
		return max(float64(info.StepBytes(n)), float64(info.Ops(n, n))/opsPerByte)
	}
}

// newStorage puts the KV cache outside Go's heap. Pages that no block was written to take no memory.
func newStorage(l kvcache.Layout) (*kernel.Arena, *kvcache.Storage, error) {
	pieces := 2 * int64(l.Layers)
	memory, err := kernel.NewArena(pieces * kernel.ArenaSize(int64(l.Blocks)*l.BytesPerBlock()/pieces))
	if err != nil {
		return nil, nil, err
	}
	memory.SmallFirst() // the first block is a few kilobytes in each piece
	return memory, kvcache.NewStorage(l, memory.Alloc), nil
}

// blocksFor gives the number of KV blocks.
func blocksFor(c Config, net *moe.Model) (int, error) {
	perBlock := net.Info().KVBytes(c.KVType, kernel.BlockTokens)
	one := int64(kernel.Blocks(c.ContextLength))
	bytes := c.KVBytes
	if bytes == 0 {
		bytes = max(min(int64(c.MaxRunning)*one*perBlock, defaultKV), one*perBlock)
	}
	blocks := min(bytes/perBlock, contextsKept*int64(c.MaxRunning)*one, math.MaxInt32)
	if blocks < one {
		s := net.Config()
		return 0, fmt.Errorf("%w: %d bytes hold %d tokens, and one sequence of the context needs %d (%d tokens × "+
			"%d bytes: "+
			"key and value in %v × %d layers × %d KV heads × %d)", ErrMemory, bytes, max(blocks, 0)*kernel.BlockTokens,
			one*perBlock, one*kernel.BlockTokens, perBlock/kernel.BlockTokens, c.KVType, s.Layers, s.KVHeads,
			s.HeadDim)
	}
	return int(blocks), nil
}

// Generate answers a request; see llm.Backend.
func (e *Engine) Generate(ctx context.Context, r *llm.Request, sink func(llm.Event) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := e.room(); err != nil { // before it is encoded: refusals must be cheap
		return err
	}
	q, err := e.prepare(ctx, r)
	if err != nil {
		return err
	}
	if telemetry.SpanFrom(ctx).On() {
		q.out.spanTimes = &spanTimes{}
	}
	if err := e.submit(q); err != nil {
		return err
	}
	if q.out.spanTimes != nil {
		defer func() { q.trace(ctx, time.Now()) }()
	}
	defer e.withdraw(q) // also where sink panics
	var events []llm.Event
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-q.out.ready:
		}
		for {
			if events, err = q.out.take(events); err != nil {
				return err
			}
			if len(events) == 0 {
				break
			}
			for _, ev := range events {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := sink(ev); err != nil {
					return err
				}
				if ev.Finish != llm.FinishNone {
					return nil
				}
			}
		}
	}
}

// room says whether a request may come; another may take its place before it does.
func (e *Engine) room() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closing {
		return llm.ErrClosed
	}
	return e.sched.Room()
}

// submit puts a request into the queue.
func (e *Engine) submit(q *request) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closing {
		return llm.ErrClosed
	}
	s, err := e.sched.SubmitScoped(q.scope, q.ids, q.max)
	if err != nil {
		return err
	}
	q.seq = s
	s.Score = len(q.prompt) > 1
	e.requests[s] = q
	e.wake.Signal()
	return nil
}

// withdraw ends a request if it has not ended. A step under way may still compute for it, to no effect.
func (e *Engine) withdraw(q *request) {
	e.locked(func() { e.drop(q.seq) })
}

// drop forgets a sequence; mu is held.
func (e *Engine) drop(s *schedule.Seq) {
	e.sched.Remove(s)
	delete(e.requests, s)
}

// locked runs f under mu, which is free again even where f panics.
func (e *Engine) locked(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f()
}

// Info gives the model's figures and Workers the number of computing threads, for reports.
func (e *Engine) Info() (info moe.Info, workers int) { return e.net.Info(), e.net.Workers() }

// Settle waits until the system has joined the weights' pages, after which steps take as long as they will ever take:
// a second after New at the earliest, and some seconds later where memory is in small pieces. An ordinary file is
// packed by then.
func (e *Engine) Settle() {
	e.net.Settle()
	e.memory.Settle()
}

// Status gives a snapshot.
func (e *Engine) Status() llm.Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	pool := e.sched.Pool
	return llm.Status{
		Ready: !e.closing, Running: len(e.sched.Running()), Waiting: e.sched.Waiting(),
		KVUsed: pool.Held(), KVCached: pool.Cached(), KVTotal: pool.Total(),
		Preempted: e.sched.Preemptions, CacheHits: e.sched.CacheHits, Chat: e.chatName(), NoChat: e.noChat,
	}
}

// KVResident is the memory that the KV cache takes so far, in bytes: that of the blocks that were ever used. It grows
// towards what was set aside, and is 0 once the engine closes.
func (e *Engine) KVResident() int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closing { // the memory may be gone
		return 0
	}
	return e.kv.Resident(e.sched.Pool.Touched(), kernel.Resident)
}

// watch tells the loop if the weights could not be packed beside it: without a request it would not notice.
func (e *Engine) watch(packed <-chan struct{}) {
	select {
	case <-e.closed:
		return
	case <-packed:
	}
	if err := e.net.Failed(); err != nil {
		e.locked(func() {
			e.broken = err
			e.wake.Signal()
		})
	}
}

// lose ends the engine whose weights can no longer be read. It is the loop's.
func (e *Engine) lose(err error) {
	e.log.Error("the model's file can no longer be read: the engine ends", "error", err)
	e.locked(func() {
		e.closing = true
		for s, q := range e.requests {
			e.drop(s)
			q.out.fail(fmt.Errorf("engine: %w", err))
		}
	})
	if e.lost != nil {
		e.lost(err)
	}
}

// Close ends all requests with llm.ErrClosed, after the step under way, and frees the model.
func (e *Engine) Close() error {
	e.locked(func() {
		e.closing = true
		e.wake.Signal()
	})
	<-e.closed
	<-e.indexed
	return nil
}
