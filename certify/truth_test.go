package certify_test

import (
	"bytes"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/base/stats"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/faults"
)

// logged is a completion as the server has measured it.
type logged struct {
	came, first, last time.Time // first and last are taken before the content is written
	chunks            int
}

// logging is a server that logs what it sends and when.
type logging struct {
	http.Handler
	mu  sync.Mutex
	all []*logged
}

func (l *logging) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "/chat/completions") {
		l.Handler.ServeHTTP(w, r)
		return
	}
	x := &logged{came: time.Now()}
	l.Handler.ServeHTTP(&loggingWriter{w, x}, r)
	l.mu.Lock()
	l.all = append(l.all, x)
	l.mu.Unlock()
}

type loggingWriter struct {
	http.ResponseWriter
	x *logged
}

func (w *loggingWriter) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(`"delta":{"content":"`)) {
		w.x.last = time.Now()
		if w.x.chunks++; w.x.chunks == 1 {
			w.x.first = w.x.last
		}
	}
	return w.ResponseWriter.Write(p)
}

func (w *loggingWriter) Flush() { w.ResponseWriter.(http.Flusher).Flush() }

// BenchmarkTruth runs a case against servers that log what they send. It prints how much the certifier's figures
// differ from theirs, which is a table of docs/CERTIFIER.md.
func BenchmarkTruth(b *testing.B) {
	for b.Loop() {
		for _, s := range []struct {
			name string
			c    faults.Config
		}{{"steady", faults.Config{Seed: 1}}, {"noisy", faults.Config{Fault: faults.HealthyNoisy, Seed: 2}},
			{"overloaded", faults.Config{Fault: faults.TooSlow, Seed: 3}}} {
			truth(b, s.name, s.c)
		}
	}
}

func truth(b *testing.B, name string, c faults.Config) {
	inner := faults.New(c)
	defer inner.Close()
	l := &logging{Handler: inner}
	h := httptest.NewServer(l)
	defer h.Close()
	dir := b.TempDir()
	rep, err := certify.Run(b.Context(), certify.Options{Case: "testdata/truth.yaml", Target: h.URL, ReportDir: dir,
		Seed: 5})
	if err != nil {
		b.Fatal(err)
	}
	rec, err := evidence.ReadFile(report.PathsFor(dir, rep).Events)
	if err != nil {
		b.Fatal(err)
	}
	start := rec.Events[0].Header.Start
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range rep.Phases {
		if p.Kind == "warmup" {
			continue
		}
		from, to := p.StartS, p.StartS+p.DurationS
		var ttft, latency []float64 // the server's figures, from the arrival
		ended := 0                  // in the steady window
		for _, x := range l.all {
			if at := x.came.Sub(start).Seconds(); at < from-0.05 || at > to || x.chunks == 0 {
				continue
			}
			ttft = append(ttft, x.first.Sub(x.came).Seconds()*1000)
			latency = append(latency, x.last.Sub(x.came).Seconds()*1000)
			if at := x.last.Sub(start).Seconds(); at > p.SteadyFromS && at <= p.SteadyToS {
				ended++
			}
		}
		var myTTFT, myLatency []float64 // the certifier's figures, from the sending
		chunks := 0
		for _, e := range rec.Events {
			if q := e.Request; q != nil && q.Phase == p.ID && q.OK() {
				myTTFT = append(myTTFT, float64(q.First-q.Issued)/1e6)
				myLatency = append(myLatency, float64(q.Last-q.Issued)/1e6)
				chunks += q.Chunks
			}
		}
		sent := 0
		for _, x := range l.all {
			if at := x.came.Sub(start).Seconds(); at >= from-0.05 && at <= to {
				sent += x.chunks
			}
		}
		off := func(mine, theirs []float64, share float64) float64 {
			slices.Sort(mine)
			slices.Sort(theirs)
			return stats.Percentile(mine, share) - stats.Percentile(theirs, share)
		}
		mean := func(x []float64) (m float64) {
			for _, v := range x {
				m += v / float64(len(x))
			}
			return m
		}
		rate := float64(ended) / (p.SteadyToS - p.SteadyFromS)
		fmt.Printf("| %s, %s | %d, %d | %d, %d | %.2f, %.2f | %.3f / %.3f | %.3f | %.3f |\n", name, p.ID, len(myTTFT),
			len(ttft), chunks, sent, p.RPS, rate, off(myTTFT, ttft, 0.5), off(myTTFT, ttft, 0.99),
			mean(myTTFT)-mean(ttft), mean(myLatency)-mean(latency))
		if len(myTTFT) != len(ttft) || chunks != sent || math.Abs(p.RPS-rate) > 0.02*rate+1 {
			b.Errorf("%s, %s: counts or rates differ", name, p.ID)
		}
	}
}
