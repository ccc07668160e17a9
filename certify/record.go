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

// record is the events file of a run and its clock.
type record struct {
	epoch  time.Time // time 0 of the record, on the monotonic clock
	events *evidence.Writer
	failed atomic.Pointer[error] // why the record could not be written
	left   atomic.Int64          // events that were left out because they were too large
	cancel context.CancelCauseFunc

	mu    sync.Mutex
	hosts []evidence.Event // readings of the machine, for the steps of a sweep
}

// newRecord starts the clock; create starts it again, with the file.
func newRecord() *record { return &record{epoch: time.Now()} }

// create creates the events file and starts the clock. Two runs that start within a second would have the same file
// name, so that the later one waits.
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

// add records an event at the current time. If the record cannot be written, the run ends, because a verdict needs
// evidence.
func (r *record) add(e evidence.Event) {
	e.At = r.since()
	r.addAt(e)
}

// addAt records an event that has its time, such as a generator's.
func (r *record) addAt(e evidence.Event) {
	if e.Host != nil {
		r.mu.Lock()
		r.hosts = append(r.hosts, e)
		r.mu.Unlock()
	}
	err := r.events.Add(e)
	if errors.Is(err, evidence.ErrTooLarge) { // the record is full
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

// hostsSince returns the readings of the machine since a moment, in nanoseconds of the record's clock, and the one
// before it.
func (r *record) hostsSince(ns int64) []evidence.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	from := slices.IndexFunc(r.hosts, func(e evidence.Event) bool { return e.At >= ns })
	if from < 0 {
		from = len(r.hosts)
	}
	r.hosts = r.hosts[max(from-1, 0):] // later steps do not need older readings
	return slices.Clone(r.hosts)
}

// since is the current time of the record's clock, in nanoseconds.
func (r *record) since() int64 { return time.Since(r.epoch).Nanoseconds() }

// err says why the record could not be written; nil: it could.
func (r *record) err() error {
	if err := r.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// header describes the run, as far as the verdict depends on it.
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

// mostQuestion limits a prompt in the record, in bytes. It is enough to recognise the question.
const mostQuestion = 1000

// questions returns the prompts whose answers are scored, by their keys.
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
	if data, err := json.Marshal(withoutSecrets(r.plan.c)); err == nil { // with the overrides
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
