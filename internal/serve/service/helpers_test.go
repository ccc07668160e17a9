package service

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/leak"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/llm"
)

func TestMain(m *testing.M) { leak.Main(m) }

const gib = 1 << 30

// options returns the defaults of package mixtral, without a model or other servers.
func options() Options {
	return Options{
		Version: "v-test", Host: "127.0.0.1", MemoryLimit: 90 * gib, CPUCores: 8, KVType: quant.KVF16,
		MaxConcurrentRequests: 10, MaxQueuedRequests: 100, MaxTokens: 4096, Temperature: 0.7,
		DrainTimeout: time.Minute, MaxConnections: 2048,
	}
}

func tinyOptions(change ...func(*Options)) Options {
	o := options()
	o.ModelPath, o.MaxTokens = "synth:tiny", 64
	for _, ch := range change {
		ch(&o)
	}
	return o
}

// opened returns a service that is ready.
func opened(ctx context.Context, o Options) (*Service, error) {
	s, err := New(o)
	if err != nil {
		return nil, err
	}
	return s, s.Load(ctx)
}

func openTiny(t *testing.T, change ...func(*Options)) *Service {
	t.Helper()
	s, err := opened(t.Context(), tinyOptions(change...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// ask returns a question in the chat format, with a maximum number of tokens for its answer.
func ask(question string, tokens int) *llm.Request {
	return &llm.Request{ID: "test", Messages: []llm.Message{{Role: llm.RoleUser, Content: question}},
		MaxTokens: tokens, Sampling: llm.Sampling{Temperature: 0.7}}
}

// greedy is ask at temperature 0.
func greedy(question string, tokens int) *llm.Request {
	r := ask(question, tokens)
	r.Sampling.Temperature = 0
	return r
}

// generate returns a whole answer.
func generate(ctx context.Context, s *Service, r *llm.Request) (text string, usage llm.Usage, err error) {
	var b strings.Builder
	err = s.Generate(ctx, r, func(e llm.Event) error {
		b.WriteString(e.Text)
		if e.Usage != nil {
			usage = *e.Usage
		}
		return nil
	})
	return b.String(), usage, err
}

// serving serves at a free port of this machine until stop; served then receives the result of serve.
func serving(t *testing.T, serve func(context.Context, net.Listener) error) (address string, stop context.CancelFunc,
	served chan error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	served = make(chan error, 1)
	go func() { served <- serve(ctx, l) }()
	return l.Addr().String(), stop, served
}
