package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// fleet is three services behind a gateway, each in its own process.
type fleet struct {
	t        *testing.T
	file     string
	ports    []string
	replicas []*servedProcess
	gateway  *servedProcess
}

func startFleet(t *testing.T, more ...string) *fleet {
	f := &fleet{t: t, file: filepath.Join(t.TempDir(), "upstreams.yaml")}
	for range 3 {
		f.ports = append(f.ports, llmtest.Port(t)) // the same one for each start
	}
	for i := range f.ports {
		f.replicas = append(f.replicas, f.start(i))
	}
	f.write("")
	f.gateway = startServe(t, append([]string{"--upstream-file", f.file, "--set", "upstream_health_s=10",
		"--log-level", "info"}, more...)...)
	f.gateway.url = strings.Fields(f.gateway.line)[3]
	llmtest.Until(t, "the gateway to know the model", func() bool {
		return strings.Contains(f.get("/v1/models"), "synthetic")
	})
	for i := range f.ports {
		f.await(i, "starting", "up")
	}
	return f
}

// start starts a replica, with room for many requests.
func (f *fleet) start(i int) *servedProcess {
	return startServe(f.t, "--port", f.ports[i], "--set", "max_concurrent_requests=32", "--set", "cpu_cores=1",
		"--set", "drain_timeout_s=600")
}

// write writes the file of replicas; extra is added to the first one.
func (f *fleet) write(extra string) {
	f.t.Helper()
	text := "replicas:\n"
	for i, port := range f.ports {
		text += "  - url: http://127.0.0.1:" + port + "\n"
		if i == 0 {
			text += extra
		}
	}
	if err := os.WriteFile(f.file, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) get(path string) string {
	f.t.Helper()
	resp, err := http.Get(f.gateway.url + path)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return string(data)
}

// await waits until the gateway shows a state of a replica.
func (f *fleet) await(i int, states ...string) {
	f.t.Helper()
	llmtest.Until(f.t, fmt.Sprintf("replica %d to be %v", i, states), func() bool {
		metrics := f.get("/metrics")
		for _, state := range states {
			if strings.Contains(metrics, fmt.Sprintf("mixtral_upstream_state{replica=\"127.0.0.1:%s\",state=%q} 1\n",
				f.ports[i], state)) {
				return true
			}
		}
		return false
	})
}

// metric returns the value of a metric for a replica.
func (f *fleet) metric(name string, i int) (v float64) {
	f.t.Helper()
	_, rest, _ := strings.Cut(f.get("/metrics"), fmt.Sprintf("\n%s{replica=\"127.0.0.1:%s\"} ", name, f.ports[i]))
	if _, err := fmt.Sscan(rest, &v); err != nil {
		f.t.Fatalf("%s of replica %d: %v", name, i, err)
	}
	return v
}

// asked is the result of a request.
type asked struct {
	sent   time.Time
	chunks int   // received chunks
	err    error // why the answer is incomplete
}

// ask sends a chat with a number of tokens, streamed or not.
func (f *fleet) ask(ctx context.Context, tokens int, stream bool) (a asked) {
	n := 1
	if tokens > 100 {
		n = 6 // so that it takes a while
	}
	body := fmt.Sprintf(`{"messages":[{"role":"user","content":"hi"}],"max_tokens":%d,"n":%d,"ignore_eos":true,"stream":%v}`,
		tokens, n, stream)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, f.gateway.url+"/v1/chat/completions",
		strings.NewReader(body))
	if err != nil {
		return asked{err: err}
	}
	a.sent = time.Now()
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		a.err = err
		return a
	}
	defer resp.Body.Close()
	if !stream {
		data, err := io.ReadAll(resp.Body)
		if err == nil && (resp.StatusCode != http.StatusOK || !bytes.Contains(data, []byte(`"finish_reason":"length"`))) {
			err = fmt.Errorf("%d %s", resp.StatusCode, data)
		}
		a.err = err
		return a
	}
	a.err = fmt.Errorf("status %d: the stream has no end", resp.StatusCode)
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		switch line := lines.Text(); {
		case line == "data: [DONE]":
			a.err = nil
		case strings.Contains(line, `"error"`):
			a.err = errors.New(line)
		case strings.HasPrefix(line, "data:"):
			a.chunks++
		}
	}
	return a
}

// load sends requests without a pause until stop, and keeps those that failed. Long answers are all streamed, and
// every second one of the others.
type load struct {
	stop   func() (answered int64, failed []asked)
	served atomic.Int64
}

func (f *fleet) load(clients, tokens int) *load {
	ctx, cancel := context.WithCancel(f.t.Context())
	l := &load{}
	var group sync.WaitGroup
	var mu sync.Mutex
	var failed []asked
	for i := range clients {
		group.Go(func() {
			for k := i; ctx.Err() == nil; k++ {
				if a := f.ask(context.WithoutCancel(ctx), tokens, tokens > 100 || k%2 == 0); a.err != nil {
					mu.Lock()
					failed = append(failed, a)
					mu.Unlock()
					continue
				}
				l.served.Add(1)
			}
		})
	}
	l.stop = func() (int64, []asked) {
		cancel()
		group.Wait()
		return l.served.Load(), failed
	}
	f.t.Cleanup(func() { l.stop() })
	return l
}

// more waits until that many more requests were answered.
func (l *load) more(t *testing.T, n int64) {
	t.Helper()
	from := l.served.Load()
	llmtest.Until(t, "more answers", func() bool { return l.served.Load() >= from+n })
}

// TestKilledReplica: one of three services behind a gateway is killed by SIGKILL under load. Only clients whose stream
// from it had begun notice it. When it is back, it gets requests slowly.
func TestKilledReplica(t *testing.T) {
	f := startFleet(t, "--set", "upstream_slow_start_s=2")
	l, streams := f.load(6, 12), f.load(6, 900)
	l.more(t, 30)
	streams.more(t, 3)
	llmtest.Until(t, "streams on the replica", func() bool { return f.metric("mixtral_upstream_outstanding", 0) >= 3 })
	f.replicas[0].stop(syscall.SIGKILL)
	killed := time.Now()
	f.await(0, "down", "ejected")
	l.more(t, 30)
	f.await(0, "down")
	if ready := f.get("/readyz"); !strings.Contains(ready, "ready") {
		t.Errorf("with two replicas left, /readyz says %s", ready)
	}
	sent := f.metric("mixtral_upstream_requests_total", 0)
	l.more(t, 30)
	if now := f.metric("mixtral_upstream_requests_total", 0); now != sent {
		t.Errorf("a replica that is down had %v requests, and then %v", sent, now)
	}
	f.replicas[0] = f.start(0)
	f.await(0, "starting", "up") // the log has both
	f.await(0, "up")
	llmtest.Until(t, "requests to the replica that is back", func() bool {
		return f.metric("mixtral_upstream_requests_total", 0) > sent
	})
	answered, failed := l.stop()
	long, lost := streams.stop()
	failed = append(failed, lost...)
	broken := 0
	for _, a := range failed {
		if a.chunks == 0 || a.sent.After(killed) {
			t.Errorf("a request failed of whose answer nothing had come, or that was sent after the kill: %+v", a)
		}
		broken++
	}
	t.Logf("%d answered, %d streams broke off", answered+long, broken)
	if broken > 6 { // the streams from it
		t.Errorf("%d streams broke off", broken)
	}
	if log := f.gateway.stderr.String(); !strings.Contains(log, "upstream down") ||
		!strings.Contains(log, "upstream starting") {
		t.Errorf("the log does not say what happened:\n%s", log)
	}
}

// TestDrainedReplicas: a replica that the file drains, and one that is told to stop, finish their requests; no client
// notices.
func TestDrainedReplicas(t *testing.T) {
	f := startFleet(t)
	l := f.load(4, 12)
	streams := make(chan asked, 6)
	for range cap(streams) {
		go func() { streams <- f.ask(t.Context(), 900, true) }()
	}
	for i := range 2 {
		llmtest.Until(t, "a long stream on each replica", func() bool {
			return f.metric("mixtral_upstream_outstanding", i) >= 2
		})
	}
	f.write("    drain: true\n")
	f.await(0, "draining")
	stopped := make(chan int, 1)
	go func() { stopped <- f.replicas[1].stop(syscall.SIGTERM) }()
	f.await(1, "down", "paused")
	l.more(t, 20)
	for range cap(streams) {
		if a := llmtest.Await(t, "a long stream", streams); a.err != nil || a.chunks < 10 {
			t.Errorf("a stream that was under way: %+v", a)
		}
	}
	if code := llmtest.Await(t, "the replica that was told to stop", stopped); code != exitOK {
		t.Errorf("it lost something: exit code %d", code)
	}
	if answered, failed := l.stop(); len(failed) > 0 {
		t.Errorf("%d answered, and failed: %+v", answered, failed)
	}
	llmtest.Until(t, "the drained replica to be empty", func() bool {
		return f.metric("mixtral_upstream_outstanding", 0) == 0
	})
}
