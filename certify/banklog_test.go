package certify_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/faults"
	"github.com/hxp-enterprise/mixtral/internal/certify/judge"
)

// bankResult is the result of one run of the bank, a line of its log.
type bankResult struct {
	Server  faults.Fault    `json:"server"`
	Seed    int             `json:"seed"`
	Rules   int             `json:"rules"` // the revision of the judge's rules
	Status  certify.Verdict `json:"status"`
	Failed  []string        `json:"failed,omitempty"`  // the checks that failed
	Invalid []string        `json:"invalid,omitempty"` // the checks that were INVALID, if they decided the status
	Why     string          `json:"why"`
	Start   time.Time       `json:"start"`
	Others  float64         `json:"others"` // share of the machine that other programs took, with stolen time
}

// bankResultOf makes the result from a report and its record.
func bankResultOf(f faults.Fault, seed int, rep *certify.Report, events []evidence.Event) *bankResult {
	res := &bankResult{Server: f, Seed: seed, Rules: evidence.Rules, Status: rep.Status, Why: said(rep)}
	for _, c := range rep.Checks {
		switch {
		case c.Verdict == certify.Fail:
			res.Failed = append(res.Failed, c.ID)
		case c.Verdict == certify.Invalid && rep.Status == certify.Invalid:
			res.Invalid = append(res.Invalid, c.ID)
		}
	}
	var first, last *evidence.Event
	for i := range events {
		switch e := &events[i]; {
		case e.Header != nil:
			res.Start = e.Header.Start
		case e.Host != nil && first == nil:
			first = e
		case e.Host != nil:
			last = e
		}
	}
	if last != nil {
		a, b := first.Host, last.Host
		taken := b.Busy - a.Busy - (b.Own - a.Own) + b.Steal - a.Steal
		res.Others = taken / (float64(last.At-first.At) / 1e9 * float64(b.Cores))
	}
	return res
}

// said returns the reasons that decided a report's status.
func said(rep *certify.Report) string {
	out := string(rep.Status)
	for _, c := range report.Deciding(rep) {
		out += "; " + c.ID + ": " + c.Reason
	}
	return out
}

// bankRun certifies one server, or judges the record of an earlier run again.
func bankRun(t *testing.T, f faults.Fault, seed int) *bankResult {
	dir := t.TempDir()
	if kept(f, seed) {
		if record, err := evidence.ReadFile(keptAt(f, seed)); err == nil {
			rep, err := judge.Judge(record.Events)
			if err != nil {
				t.Errorf("%s: %v", keptAt(f, seed), err)
				return nil
			}
			return bankResultOf(f, seed, rep, record.Events)
		}
	}
	s := faults.New(faults.Config{Fault: f, Seed: uint64(seed), Speed: bankSpeed})
	defer s.Close()
	h := httptest.NewServer(s)
	defer h.Close()
	rep, err := certify.Run(t.Context(), certify.Options{Target: h.URL, ReportDir: dir, Seed: int64(seed),
		Set: shortened})
	if err != nil {
		t.Errorf("%s, seed %d: %v", f, seed, err)
		return nil
	}
	file := filepath.Join(dir, rep.Evidence.File)
	record, err := evidence.ReadFile(file)
	if err != nil {
		t.Errorf("%s, seed %d: %v", f, seed, err)
		return nil
	}
	if os.Getenv(bankDir) != "" {
		err = os.Rename(file, keptAt(f, seed))
	}
	if err != nil {
		t.Errorf("%s, seed %d: %v", f, seed, err)
	}
	return bankResultOf(f, seed, rep, record.Events)
}

// keptAt is the path of a run's record.
func keptAt(f faults.Fault, seed int) string {
	return filepath.Join(os.Getenv(bankDir), fmt.Sprintf("%s-%d%s", f, seed, report.EventsExt))
}

// kept says whether the record of a run is kept.
func kept(f faults.Fault, seed int) bool {
	if os.Getenv(bankDir) == "" {
		return false
	}
	_, err := os.Stat(keptAt(f, seed))
	return err == nil
}

func (y *tally) add(res *bankResult) {
	y.runs++
	y.status[res.Status]++
	y.others = append(y.others, res.Others)
	for _, id := range res.Failed {
		y.failed[id]++
		if id == foundBy[res.Server] {
			y.found++
		}
	}
	for _, id := range res.Invalid {
		y.invalid[id]++
	}
}

// runLog is a file of results, one per line. Results by an older revision of the rules do not count.
type runLog struct {
	mu   sync.Mutex
	path string // empty: none
	have map[string]*bankResult
}

func openBankLog(t *testing.T, path string) *runLog {
	l := &runLog{path: path, have: map[string]*bankResult{}}
	f, err := os.Open(path)
	if path == "" || errors.Is(err, os.ErrNotExist) {
		return l
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		res := &bankResult{}
		// otherwise it is incomplete or too old
		if json.Unmarshal(in.Bytes(), res) == nil && res.Rules == evidence.Rules {
			l.have[l.key(res.Server, res.Seed)] = res
		}
	}
	if err := in.Err(); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *runLog) key(f faults.Fault, seed int) string { return fmt.Sprintf("%s-%d", f, seed) }

func (l *runLog) of(f faults.Fault, seed int) *bankResult {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.have[l.key(f, seed)]
}

func (l *runLog) add(t *testing.T, res *bankResult) {
	if l.path == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	data, err := json.Marshal(res)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err == nil {
		_, err = f.Write(append(data, '\n'))
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Error(err)
	}
}

// TestTheBankGoesOnWhereItStopped checks that the runs in a log are not repeated, even if other lines of its file are
// damaged.
func TestTheBankGoesOnWhereItStopped(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bank.jsonl")
	l := openBankLog(t, path)
	for seed := range 3 {
		l.add(t, &bankResult{Server: faults.Stall, Seed: seed, Rules: evidence.Rules - seed/2, Status: certify.Fail,
			Failed: []string{"stalls"}})
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"server":"leak","seed":7,"ru`); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	again := openBankLog(t, path)
	if again.of(faults.Stall, 0) == nil || again.of(faults.Stall, 1) == nil || again.of(faults.Stall, 2) != nil ||
		again.of(faults.Leak, 7) != nil {
		t.Errorf("%+v", again.have)
	}
}
