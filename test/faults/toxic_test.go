// Package faults_test puts a proxy that breaks connections (toxiproxy) between the service and what it depends on: the
// upstream servers it passes requests on to, and its database.
package faults_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

func TestMain(m *testing.M) {
	zerolog.SetGlobalLevel(zerolog.Disabled) // some toxics have loggers of their own
	m.Run()
}

// toxic is a way to break a connection, as toxiproxy names and sets it.
type toxic struct {
	kind       string
	attributes map[string]any
	up         bool // what the client sends, and not what comes back
}

// proxy is a toxiproxy in this process.
type proxy struct {
	t *testing.T
	*toxiproxy.Proxy
	server *toxiproxy.ApiServer
	toxics []toxic
}

// newProxy begins to listen in front of a TCP address, at a port that is still its own when it stops and starts
// again.
func newProxy(t *testing.T, upstream string) *proxy {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	address := "127.0.0.1:" + llmtest.Port(t)
	p := &proxy{t: t, server: server, Proxy: toxiproxy.NewProxy(server, "test", address, upstream)}
	p.start()
	t.Cleanup(func() { p.Stop() })
	return p
}

func (p *proxy) start() {
	p.t.Helper()
	if err := p.Start(); err != nil {
		p.t.Fatal(err)
	}
}

// poison ends all connections and adds toxics to those that are there.
func (p *proxy) poison(toxics ...toxic) {
	p.t.Helper()
	p.renew(append(p.toxics, toxics...))
}

// infect adds a toxic to what is connected, where nothing is on its way and no connection ends meanwhile: see renew.
func (p *proxy) infect(x toxic) {
	p.t.Helper()
	p.add(len(p.toxics), x)
	p.toxics = append(p.toxics, x)
}

// heal ends all connections, with those that a toxic holds up, and takes the toxics away.
func (p *proxy) heal() {
	p.t.Helper()
	p.renew(nil)
}

// renew puts a new proxy in the old one's place. While there are connections, toxiproxy's toxics cannot be changed
// safely: one that is closing when a toxic is added or taken away waits for the lock of that change, which waits for
// the connection, or it keeps a chain of another length, and the next toxic panics there.
func (p *proxy) renew(toxics []toxic) {
	p.t.Helper()
	p.Stop()
	p.toxics = toxics
	p.Proxy = toxiproxy.NewProxy(p.server, "test", p.Listen, p.Upstream)
	for i, x := range toxics {
		p.add(i, x)
	}
	p.start()
}

func (p *proxy) add(i int, x toxic) {
	p.t.Helper()
	stream := "downstream"
	if x.up {
		stream = "upstream"
	}
	data, err := json.Marshal(map[string]any{"type": x.kind, "name": fmt.Sprint(x.kind, i), "stream": stream,
		"attributes": x.attributes})
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.Toxics.AddToxicJson(strings.NewReader(string(data))); err != nil {
		p.t.Fatal(err)
	}
}

// bridge makes a Unix socket reachable by TCP, which is all that toxiproxy speaks.
func bridge(t *testing.T, socket string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				defer in.Close()
				out, err := net.Dial("unix", socket)
				if err != nil {
					return
				}
				defer out.Close()
				group.Go(func() { io.Copy(out, in); out.(*net.UnixConn).CloseWrite() })
				io.Copy(in, out)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		llmtest.Await(t, "the bridge's connections", llmtest.Done(group.Wait))
	})
	return l.Addr().String()
}

func addressOf(s *httptest.Server) string { return s.Listener.Addr().String() }
