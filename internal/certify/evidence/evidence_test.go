package evidence

import (
	"bytes"
	"compress/gzip"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
	"github.com/hxp-enterprise/mixtral/testcases"
)

func header() Event {
	return Event{Header: &Header{SchemaVersion: SchemaVersion, Start: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
		Case: &testcases.Case{ID: "TC"}, Profile: "quick", Seed: 7,
		Environment: map[string]string{"cores": "2", "arch": "amd64"}}}
}

func request(n int) Event {
	return Event{At: int64(n), Request: &Request{Phase: "A", N: n, Prompt: "reasoning/simple", Issued: 5, Done: 9,
		Gaps: []int32{1, 2}, Text: "<a & b>\n\"ü\""}}
}

func write(t *testing.T, path string, events ...Event) {
	t.Helper()
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if err := w.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.events.jsonl.gz")
	events := []Event{header(), request(0), request(1), {At: 3, Phase: &Phase{ID: "A", Kind: testcases.KindClosed}},
		{At: 4, End: &End{}}}
	write(t, path, events...)
	got, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(events, got.Events); diff != "" {
		t.Error(diff)
	}
	if got.Cut || got.Lost != 0 || !got.Ended {
		t.Errorf("cut %v, lost %d, ended %v", got.Cut, got.Lost, got.Ended)
	}
	if digest, err := Digest(events); err != nil || digest != got.SHA256 {
		t.Errorf("digest %s (%v), file has %s", digest, err, got.SHA256)
	}
	if _, err := os.Stat(path + partSuffix); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the .part is still there: %v", err)
	}
	if _, err := Create(path); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second record of the same name: %v", err)
	}
}

func TestAKilledRunLeavesAReadableRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.events.jsonl.gz")
	clock := time.Unix(0, 0)
	w, err := create(path, func() time.Time { return clock })
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []Event{header(), request(0)} {
		if err := w.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	clock = clock.Add(flushEvery)
	if err := w.Add(request(1)); err != nil { // a second has passed, so this flushes
		t.Fatal(err)
	}
	if err := w.Add(request(2)); err != nil { // not flushed, so lost
		t.Fatal(err)
	}
	got, err := ReadFile(path) // finds the .part file
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Events) != 3 || !got.Cut || got.Ended {
		t.Errorf("read %d events, cut %v, ended %v; want 3, true, false", len(got.Events), got.Cut, got.Ended)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if err := w.Add(request(3)); !errors.Is(err, ErrClosed) {
		t.Errorf("Add after Close: %v", err)
	}
}

func TestEveryCutIsSurvived(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.gz")
	events := []Event{header()}
	for i := range 50 {
		events = append(events, request(i))
	}
	events = append(events, Event{End: &End{}})
	write(t, path, events...)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	last := 0
	for n := range whole {
		got, err := Read(bytes.NewReader(whole[:n]))
		if err != nil {
			if !errors.Is(err, ErrFormat) || last > 0 {
				t.Fatalf("cut at %d of %d: %v", n, len(whole), err)
			}
			continue
		}
		if len(got.Events) < last || !cmp.Equal(events[:len(got.Events)], got.Events) {
			t.Fatalf("cut at %d: read %d events after %d", n, len(got.Events), last)
		}
		if !got.Cut {
			t.Fatalf("cut at %d of %d not noticed", n, len(whole))
		}
		last = len(got.Events)
	}
}

func TestALineThatIsDamagedIsCounted(t *testing.T) {
	var b bytes.Buffer
	for _, e := range []Event{header(), request(0), request(1)} {
		line, err := Encode(&e)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(line)
		b.WriteString("{\"at\":1}\nnonsense\n")
	}
	got, err := Read(&b)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Events) != 3 || got.Lost != 6 || got.Cut {
		t.Errorf("%d events, %d lost, cut %v; want 3, 6, false", len(got.Events), got.Lost, got.Cut)
	}
}

func TestFilesThatAreNoRecord(t *testing.T) {
	line, _ := Encode(&Event{Header: &Header{SchemaVersion: SchemaVersion + 1}})
	for name, data := range map[string]string{"empty": "", "text": "hello\n", "no header": "{\"at\":1,\"end\":{}}\n",
		"gzip of nothing": "\x1f\x8b", "later version": string(line),
		"endless line": strings.Repeat("x", MaxLine+1)} {
		if _, err := Read(strings.NewReader(data)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ReadFile(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

func TestEncodeRefusesWhatCannotBeJudged(t *testing.T) {
	for name, e := range map[string]Event{"nothing": {}, "two kinds": {End: &End{}, Clock: &Clock{}},
		"infinite": {Audit: &Audit{Measured: math.Inf(1)}}} {
		if _, err := Encode(&e); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestManyGoroutinesRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.gz")
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Add(header()); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 100 {
				if err := w.Add(request(g*100 + i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadFile(path); err != nil || len(got.Events) != 801 || got.Lost != 0 {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestEncodingIsDeterministic(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		e := Event{At: rapid.Int64().Draw(t, "at"), Scrape: &Scrape{
			Values: rapid.MapOf(rapid.String(), rapid.Float64Range(-1e300, 1e300)).Draw(t, "values"),
			Histograms: map[string]Histogram{"h": {Sum: rapid.Float64Range(0, 1e9).Draw(t, "sum"),
				Buckets: []Bucket{{LE: 0.5}, {Inf: true, Count: 3}}}},
			Err: rapid.String().Draw(t, "err"),
		}}
		first, err := Encode(&e)
		if err != nil {
			t.Fatal(err)
		}
		head, err := Encode(ptr(header()))
		if err != nil {
			t.Fatal(err)
		}
		rec, err := Read(bytes.NewReader(append(head, first...)))
		if err != nil || rec.Lost != 0 {
			t.Fatalf("own line not read: %v: %s", err, first)
		}
		second, err := Encode(&rec.Events[1])
		if err != nil || !bytes.Equal(first, second) {
			t.Fatalf("%s\n%s\n%v", first, second, err)
		}
	})
}

func ptr[T any](v T) *T { return &v }

func FuzzRead(f *testing.F) {
	for _, e := range []Event{header(), request(1)} {
		line, _ := Encode(&e)
		f.Add(line)
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write(line)
		z.Flush()
		f.Add(b.Bytes())
	}
	f.Add([]byte("{\"header\":{\"schema_version\":1}}\n{\"at\":9,\"end\":{}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		rec, err := Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		digest, err := Digest(rec.Events)
		if err != nil {
			t.Fatalf("read but cannot be written: %v", err)
		}
		var b bytes.Buffer
		for i := range rec.Events {
			line, _ := Encode(&rec.Events[i])
			b.Write(line)
		}
		again, err := Read(&b)
		if err != nil || again.Lost != 0 || again.SHA256 != digest {
			t.Fatalf("second reading differs: %v, %+v", err, again)
		}
	})
}
