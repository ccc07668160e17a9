package certify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/client"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/probe"
)

// record is the events file of a run, and the clock of its times.
type record struct {
	epoch  time.Time // all times of the record count from here, on the monotonic clock
	events *evidence.Writer
	failed atomic.Pointer[error] // it could not be written
	left   atomic.Int64          // events that were too large for it
	cancel context.CancelCauseFunc

	mu    sync.Mutex
	hosts []evidence.Event // readings of the machine, for the steps of a sweep
}

// newRecord starts the clock; nothing is written before create.
func newRecord() *record { return &record{epoch: time.Now()} }

// create opens the events file. Two runs that start within a second would have the same name: the later one waits.
func (r *record) create(dir, caseID string) (err error) {
	for range 5 {
		r.epoch = time.Now()
		r.events, err = evidence.Create(filepath.Join(dir, report.BaseName(caseID, r.epoch)+report.EventsExt))
		if !errors.Is(err, os.ErrExist) {
			break
		}
		time.Sleep(time.Until(r.epoch.Truncate(time.Second).Add(time.Second)))
	}
	return err
}

// add records something that happened now. If the record cannot be written, the run ends: a verdict without evidence
// is worth nothing.
func (r *record) add(e evidence.Event) {
	e.At = r.since()
	r.addAt(e)
}

// addAt records something with its own time: what a generator saw.
func (r *record) addAt(e evidence.Event) {
	if e.Host != nil {
		r.mu.Lock()
		r.hosts = append(r.hosts, e)
		r.mu.Unlock()
	}
	err := r.events.Add(e)
	if errors.Is(err, evidence.ErrTooLarge) { // what enters is bounded: the record is full
		if r.left.Add(1) == 1 && r.cancel != nil {
			r.cancel(fmt.Errorf("%w: %w", errRecordFull, err))
		}
		return
	}
	if err != nil && r.failed.CompareAndSwap(nil, &err) && r.cancel != nil {
		r.cancel(err)
	}
}

// errRecordFull ends a run whose record is full. What was measured until then is judged.
var errRecordFull = errors.New("the record is full")

// hostsSince gives the readings of the machine since a moment, and the one before it.
func (r *record) hostsSince(ns int64) []evidence.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	from := slices.IndexFunc(r.hosts, func(e evidence.Event) bool { return e.At >= ns })
	if from < 0 {
		from = len(r.hosts)
	}
	r.hosts = r.hosts[max(from-1, 0):] // what is older is of no use to later steps
	return slices.Clone(r.hosts)
}

// since is the time of the record's clock.
func (r *record) since() int64 { return time.Since(r.epoch).Nanoseconds() }

// err is why the record could not be written.
func (r *record) err() error {
	if err := r.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// header describes the run to whoever derives the verdict.
func (r *runner) header(scale *evidence.Calibration) *evidence.Header {
	p, s := r.plan, r.server
	h := &evidence.Header{
		SchemaVersion: evidence.SchemaVersion, Start: r.record.epoch.UTC().Round(0),
		Case: withoutSecrets(p.c), Profile: p.o.Profile,
		Seed: p.o.Seed,
		Target: evidence.Target{Kind: evidence.TargetURL, URL: client.Redact(s.URL), Model: s.model,
			BuiltIn: s.BuiltIn, Resources: r.observer.source.Name(), Metrics: r.metrics.scraper.Name(),
			LeftOut: r.requests.form.leftOut, Said: s.described,
			GPUs: r.observer.gpus.Name()},
		Environment: probe.Machine(), Fingerprints: r.fingerprints(), Calibration: scale,
		Rules: evidence.Rules, Prompts: p.questions(),
	}
	r.generators.describe(h)
	if s.http2 {
		h.Target.Protocol = "HTTP/2"
	}
	if p.o.Target == "" {
		h.Target.Kind = evidence.TargetEmbedded
	}
	return h
}

// mostQuestion shortens the prompts in a record, in bytes: enough to see what was asked.
const mostQuestion = 1000

// questions are the prompts whose answers are scored.
func (p *plan) questions() map[string]string {
	out := map[string]string{}
	for _, ph := range p.phases {
		if !ph.KeepText || ph.Traffic != nil {
			continue
		}
		keys := ph.Prompts
		if len(keys) == 0 {
			keys = p.loaded.Prompts.Keys()
		}
		for _, key := range keys {
			if q, ok := p.loaded.Prompts.ByKey(key); ok && len(out) < 100 {
				text := q.Text
				if len(text) > mostQuestion {
					text = strings.ToValidUTF8(text[:mostQuestion], "") + " …"
				}
				out[key] = text
			}
		}
	}
	return out
}

func (r *runner) fingerprints() map[string]string {
	f := map[string]string{"prompts_sha256": digest(r.plan.loaded.PromptBytes)}
	if data, err := json.Marshal(withoutSecrets(r.plan.c)); err == nil { // with overrides applied
		f["case_sha256"] = digest(data)
	}
	for name, data := range r.plan.loaded.Files {
		f["traffic_sha256:"+name] = digest(data)
	}
	if r.plan.o.Version != "" {
		f["version"] = r.plan.o.Version
	}
	if r.server.version != "" {
		f["server_version"] = r.server.version
	}
	for k, v := range r.server.Fingerprints {
		f[k] = v
	}
	return f
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
