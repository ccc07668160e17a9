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

// slowStart is how long to wait for a server before a person is told.
const slowStart = 2 * time.Second

// errTargetLost ends a run whose server has gone.
var errTargetLost = errors.New("target lost")

// server is the server under test: how to reach it, and what it says of itself.
type server struct {
	*target.Server
	client  *client.Client // for what is asked beside the load
	key     string         // the API key; empty: none
	model   string         // to ask for
	extra   client.Extra   // what requests carry beside body and key
	route   string         // path of chat completions; empty: below /v1
	version string         // empty: the server does not say
	// what the server says of itself
	described map[string]string
	tracer    *telemetry.Tracer // nil: requests are not traced
	refused   atomic.Int64      // connections refused since the last answer
	http2     bool              // it speaks nothing else
	dial      dialer            // of the load; nil: the usual one
	clock     loadgen.Clock     // of the load's client; nil: the system's
}

// dialer opens connections.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// connect starts or finds the server, and finds out which model to ask for.
func connect(ctx context.Context, o Options, c *testcases.Case, p *progress) (*server, error) {
	waits := "the server starts"
	if o.Target != "" {
		waits = client.Redact(o.Target) + " has not answered yet"
	}
	slow := time.AfterFunc(slowStart, func() { p.note(waits) })
	defer slow.Stop()
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

// startPatience is how long a server that says 503 may take to start: a model of 90 GB takes minutes to be read.
const startPatience = 5 * time.Minute

// awaitModel chooses the model as chooseModel does, of a server that may still be starting.
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

// chooseModel takes the model that the caller names, which must be one that the server lists. Without a name it takes
// the first model in the list.
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

// unlisted says that a server lists no models, and that this is no problem because the caller names one.
func unlisted(o Options, err error) bool { return o.TargetModel != "" && client.NotOffered(err) }

// serves says whether a server lists a model. If it does not, the name is a mistake, and the caller should learn that
// at once instead of after a minute of refusals.
func serves(models []openai.Model, model string) error {
	const shown = 20
	var names []string
	for _, m := range models {
		if m.ID == model || strings.HasPrefix(m.ID, model+":") { // Ollama lists name:tag, and takes the name
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

// release lets go of the server: one that was started ends.
func (s *server) release(p *progress) error {
	s.client.Close()
	if err := closeTracer(s.tracer); err != nil {
		p.note("the last traces are lost: " + err.Error())
	}
	return s.Stop()
}

// loadClient makes the client that makes the load of a phase.
func (s *server) loadClient(c *testcases.Case, ph testcases.Phase) (*loadgen.Client, error) {
	return loadgen.NewClient(s.URL, loadgen.ClientOptions{APIKey: s.key, Tracer: s.tracer, Clock: s.clock,
		HTTP2: s.http2, Dial: s.dial, Route: s.route, Header: s.extra.Header, Query: s.extra.Query,
		Timeout: seconds(c.Timeout(ph)), Conns: c.Limits.MaxInFlight})
}

// ready waits until the server answers at all.
func (s *server) ready(ctx context.Context) result {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return result{client.Redact(s.URL) + " is ready", s.client.Ready(ctx, s.Gone)}
}

// heardOf takes note of how a request ended: refused connections in a row are the first sign of a lost server.
func (s *server) heardOf(q evidence.Request) {
	switch {
	case q.OK():
		s.refused.Store(0)
	case q.Fail == evidence.FailConnect:
		s.refused.Add(1)
	}
}

// lost says that the server has gone: that so many connections in a row were refused, and that it does not list its
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
