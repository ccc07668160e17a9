package certify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/target"
	"github.com/hxp-enterprise/mixtral/internal/base/noun"
	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/certify/client"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/loadgen"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// slowStart is how long to wait for a server before a note tells the user.
const slowStart = 2 * time.Second

// errTargetLost ends a run whose server is lost.
var errTargetLost = errors.New(string(testcases.CutTargetLost))

// server is the server under test: how to reach it, and its own description.
type server struct {
	*target.Server
	client  *client.Client // for requests other than the load
	key     string         // the API key; empty: none
	model   string         // the model in requests
	extra   client.Extra   // headers and query of all requests
	route   string         // path of chat completions; empty: /v1/chat/completions
	version string         // of the server; empty: it does not say
	// the server's own description
	described map[string]string
	tracer    *telemetry.Tracer // nil: requests are not traced
	refused   atomic.Int64      // connections refused since the last answer
	http2     bool              // it speaks only HTTP/2
	dial      dialer            // of the load; nil: the usual dialer
	clock     loadgen.Clock     // of the load's client; nil: the system's clock
}

// dialer opens connections.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// connect starts or finds the server, and chooses the model.
func connect(ctx context.Context, o Options, c *testcases.Case, p *progress) (*server, error) {
	waits := "the server starts"
	if o.Target != "" {
		waits = client.Redact(o.Target) + " has not answered yet"
	}
	defer p.noteSlow(slowStart, waits)()
	s := &server{key: o.APIKey, extra: extraOf(c), dial: o.dial}
	if o.Target != "" {
		var query url.Values
		s.route, query = client.Route(o.Target)
		for name, values := range query {
			if !s.extra.Query.Has(name) {
				s.extra.Query[name] = values
			}
		}
	}
	var err error
	if o.Target == "" {
		s.Server, err = o.Launch(ctx, target.Need{Model: o.ModelRef})
	} else {
		s.Server, err = target.At(o.Target)
	}
	if err != nil {
		return nil, err
	}
	s.client = client.New(s.URL, o.APIKey).With(s.extra)
	if s.tracer, err = newTracer(o); err == nil {
		err = s.awaitModel(ctx, o, p)
	}
	var status *client.StatusError
	if err != nil && !errors.As(err, &status) && strings.HasPrefix(s.URL, "http:") &&
		client.OtherVersion(err.Error()) {
		s.client.HTTP2()
		if again := s.chooseModel(ctx, o); again == nil {
			s.http2, err = true, nil
		}
	}
	if err != nil {
		return nil, errors.Join(err, s.release(p))
	}
	s.version = s.client.Version(ctx)
	return s, nil
}

// startPatience is how long a server may answer 503 while it starts. Loading a model of 90 GB takes minutes.
const startPatience = 5 * time.Minute

// awaitModel is chooseModel for a server that may still be starting.
func (s *server) awaitModel(ctx context.Context, o Options, p *progress) error {
	for begun, told := time.Now(), false; ; {
		err := s.chooseModel(ctx, o)
		pause, later := client.Later(err)
		if !later || time.Since(begun)+pause > startPatience {
			return err
		}
		if !told {
			p.note(fmt.Sprintf("%v; it is asked again for up to %s", err, startPatience))
			told = true
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
	}
}

// chooseModel takes the model that the caller names, which the server must list. Without a name it takes the first
// model in the list.
func (s *server) chooseModel(ctx context.Context, o Options) error {
	s.model = o.TargetModel
	models, err := s.client.Models(ctx)
	switch {
	case unlisted(o, err):
		return nil
	case err != nil:
		return err
	case s.model == "":
		s.model = models[0].ID
		return nil
	}
	return serves(models, s.model)
}

// unlisted says whether a server has no list of models, which is no problem because the caller names the model.
func unlisted(o Options, err error) bool { return o.TargetModel != "" && client.NotOffered(err) }

// serves returns an error if a server does not list a model. Then the name is a mistake, and the caller should learn
// that now and not after a minute of refused requests.
func serves(models []openai.Model, model string) error {
	const shown = 20
	var names []string
	for _, m := range models {
		if m.ID == model || strings.HasPrefix(m.ID, model+":") { // Ollama lists name:tag and accepts the name alone
			return nil
		}
		if len(names) < shown {
			names = append(names, m.ID)
		}
	}
	if more := len(models) - len(names); more > 0 {
		names = append(names, noun.Of(more, "other", "others"))
	}
	return fmt.Errorf("%w: the server lists no model %q; it lists %s", target.ErrSetup, model,
		strings.Join(names, ", "))
}

// release ends the server if the run has started it.
func (s *server) release(p *progress) error {
	s.client.Close()
	if err := closeTracer(s.tracer); err != nil {
		p.note("the last traces are lost: " + err.Error())
	}
	return s.Stop()
}

// loadClient makes the load generator's client for a phase.
func (s *server) loadClient(c *testcases.Case, ph testcases.Phase) (*loadgen.Client, error) {
	return loadgen.NewClient(s.URL, loadgen.ClientOptions{APIKey: s.key, Tracer: s.tracer, Clock: s.clock,
		HTTP2: s.http2, Dial: s.dial, Route: s.route, Header: s.extra.Header, Query: s.extra.Query,
		Timeout: seconds(c.Timeout(ph)), Conns: c.Limits.MaxInFlight})
}

// ready waits until the server answers.
func (s *server) ready(ctx context.Context) result {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return result{client.Redact(s.URL) + " is ready", s.client.Ready(ctx, s.Gone)}
}

// heardOf counts the refused connections in a row, which are the first sign of a lost server.
func (s *server) heardOf(q evidence.Request) {
	switch {
	case q.OK():
		s.refused.Store(0)
	case q.Fail == evidence.FailConnect:
		s.refused.Add(1)
	}
}

// lost says whether the server is lost: refusedInARow connections in a row were refused, and it does not list its
// models either.
func (s *server) lost(ctx context.Context) bool {
	if s.refused.Load() < refusedInARow {
		return false
	}
	look, stop := context.WithTimeout(ctx, lookTimeout)
	defer stop()
	if _, err := s.client.Models(look); err != nil {
		return ctx.Err() == nil
	}
	s.refused.Store(0)
	return false
}
