package evidence

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/cost"
)

// zipped is a compressed record of a header and whatever fill writes.
func zipped(t *testing.T, fill func(w io.Writer)) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := bufio.NewWriterSize(z, 1<<20)
	e := header()
	line, err := Encode(&e)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(line)
	fill(w)
	if err := errors.Join(w.Flush(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return &b
}

func lines(n int, line string) func(io.Writer) {
	return func(w io.Writer) {
		for range n {
			io.WriteString(w, line)
		}
	}
}

// inner writes a line with a list or an object of n entries in its middle.
func inner(n int, before, entry, after string) func(io.Writer) {
	return func(w io.Writer) {
		io.WriteString(w, before+strings.TrimSuffix(strings.Repeat(entry, n), ",")+after+"\n")
	}
}

// TestRecordsMadeToExhaustTheirReader: a small file must not become gigabytes, whatever shape it has.
func TestRecordsMadeToExhaustTheirReader(t *testing.T) {
	if testing.Short() {
		t.Skip("it measures cost, which the race detector multiplies")
	}
	for name, tt := range map[string]struct {
		fill func(io.Writer)
		want error // nil: the record is read, and bad lines are counted
	}{
		"the same event 60 MB long":   {lines(2e6, "{\"at\":0,\"clock\":{\"drift_ns\":0}}\n"), ErrTooLarge},
		"empty lines":                 {lines(60e6/1000, strings.Repeat("\n", 1000)), ErrTooLarge},
		"a line of 60 MB":             {lines(6e4, strings.Repeat("x", 1000)), ErrTooLarge},
		"headers":                     {lines(20_000, "{\"at\":0,\"phase\":{\"id\":\"a\"}}\n"), ErrTooLarge},
		"a million strings":           {inner(1e6, `{"at":0,"score":{"why":[`, `"",`, `]}}`), ErrTooLarge},
		"a million gaps":              {inner(1e6, `{"at":0,"request":{"gaps_us":[`, `0,`, `]}}`), ErrTooLarge},
		"a million buckets":           {inner(1e6, `{"at":0,"scrape":{"histograms":{"h":{"buckets":[`, `{},`, `]}}}}`), ErrTooLarge},
		"a million checks of a case":  {inner(1e6, `{"at":0,"header":{"case":{"checks":[`, `{},`, `]}}}`), ErrTooLarge},
		"a million phases of a case":  {inner(1e6, `{"at":0,"header":{"case":{"profiles":{"a":[`, `{},`, `]}}}}`), ErrTooLarge},
		"a map of a million":          {inner(5e5, `{"at":0,"scrape":{"values":{`, `"":0,`, `}}}`), ErrTooLarge},
		"nested lists":                {inner(1e6, `{"at":0,"score":{"why":`, `[`, ``), ErrTooLarge},
		"nested lists, not so many":   {inner(2e5, `{"at":0,"score":{"why":`, `[`, ``), nil},
		"as many strings as may be":   {inner(2e5, `{"at":0,"score":{"why":[`, `"",`, `]}}`), nil},
		"a text of control sequences": {inner(1e6, `{"at":0,"score":{"prompt":"`, `\u0000`, `"}}`), nil},
	} {
		t.Run(name, func(t *testing.T) {
			file := zipped(t, tt.fill)
			cost.Within(t, 200<<20, 20*time.Second, func() {
				n := 0
				info, err := Scan(bytes.NewReader(file.Bytes()), func(*Event) error { n++; return nil })
				if !errors.Is(err, tt.want) || tt.want == nil && err != nil || n > 2_000_000 {
					t.Errorf("%d bytes: %d events, %+v, %v", file.Len(), n, info, err)
				}
			})
		})
	}
}

// TestAnHonestRecordIsNoBomb: real records are not refused. The one that compresses best is that of a server that
// refuses every request with the same message.
func TestAnHonestRecordIsNoBomb(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine reads a large record")
	}
	path := filepath.Join(t.TempDir(), "run.gz")
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	const n = 150_000 // large enough that maxRatio applies
	events := []Event{header()}
	for i := range n {
		at := int64(i) * 20_000_000
		events = append(events, Event{At: at, Request: &Request{Phase: "sustained", N: i, Prompt: "reasoning/simple",
			Scheduled: at, Issued: at + 21_000 + int64(i*7919%5000),
			Done: at + 1_000_000 + int64(i*104729%90000), Status: 422,
			Fail: FailStatus, Detail: "status 422: unknown field seed"}})
	}
	for _, e := range append(events, Event{End: &End{}}) {
		if err := w.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := ScanFile(path, func(*Event) error { return nil })
	if err != nil || info.Count != n+2 || !info.Ended {
		t.Errorf("%+v, %v", info, err)
	}
}

// TestWhatNoReaderTakesIsNotWritten: an event that no reader accepts is not written, and the record stays readable.
func TestWhatNoReaderTakesIsNotWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.gz")
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	long := request(1)
	long.Request.Text = strings.Repeat("x", MaxLine)
	wide := request(2)
	wide.Request.Gaps = make([]int32, MaxItems)
	rest := []Event{header(), request(0), {End: &End{}}}
	for i, e := range []Event{rest[0], long, rest[1], wide, rest[2]} {
		if err := w.Add(e); (i == 1 || i == 3) != errors.Is(err, ErrTooLarge) || i%2 == 0 && err != nil {
			t.Errorf("event %d: %v", i, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadFile(path); err != nil || len(got.Events) != 3 || got.Lost != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestTheLargestAnswerFitsALine: a request whose fields are as large as their bounds allow fits a line, even with text
// whose JSON is longest.
func TestTheLargestAnswerFitsALine(t *testing.T) {
	e := request(1)
	e.Request.Text = strings.Repeat("\x00", MaxText)
	e.Request.Thought = strings.Repeat("\x00", MaxText)
	e.Request.Gaps = make([]int32, MaxChunks)
	for i := range e.Request.Gaps {
		e.Request.Gaps[i] = 9_999_999 // ten seconds
	}
	line, err := Encode(&e)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(fmt.Sprint(len(line), " bytes"))
}
