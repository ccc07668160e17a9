package openai

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
)

type event struct{ Type, Data string }

// readAll reads to the end; io.EOF is not an error.
func readAll(r io.Reader, maxEvent int) (all []event, err error) {
	reader := NewReader(r, maxEvent)
	for {
		e, err := reader.Next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, event{e.Type, string(e.Data)})
	}
}

func TestReader(t *testing.T) {
	data := func(s ...string) (all []event) {
		for _, d := range s {
			all = append(all, event{"", d})
		}
		return all
	}
	for _, test := range []struct {
		name, stream string
		want         []event
		err          error
	}{
		{"empty", "", nil, nil},
		{"plain", "data: a\n\ndata: [DONE]\n\n", data("a", "[DONE]"), nil},
		{"CRLF", "data: a\r\n\r\ndata: b\r\n\r\n", data("a", "b"), nil},
		{"CR", "data: a\r\rdata: b\r\r", data("a", "b"), nil},
		{"mixed ends", "data: a\r\n\ndata: b\n\r\n", data("a", "b"), nil},
		{"no space", "data:a\n\n", data("a"), nil},
		{"two spaces", "data:  a\n\n", data(" a"), nil},
		{"several lines", "data: a\ndata: b\ndata\n\n", data("a\nb\n"), nil},
		{"comments", ": ping\n\n:\ndata: a\n: more\n\n", data("a"), nil},
		{"types", "event: error\ndata: a\n\ndata: b\n\n", []event{{"error", "a"}, {"", "b"}}, nil},
		{"type without data", "event: error\n\ndata: b\n\n", data("b"), nil},
		{"unknown fields", "id: 1\nretry: 5\nfoo\ndatax: 1\ndata: a\n\n", data("a"), nil},
		{"byte order mark", "\ufeffdata: a\n\n", data("a"), nil},
		{"mark later", "data: a\n\n\ufeffdata: b\n\n", data("a"), nil},
		{"empty data", "data\n\n", data(""), nil},
		{"no empty line at the end", "data: a\n\ndata: [DONE]\n", data("a", "[DONE]"), nil},
		{"cut in a line", "data: a\n\ndata: {\"x", data("a"), io.ErrUnexpectedEOF},
		{"colon in data", "data: a: b\n\n", data("a: b"), nil},
		{"line too long", "data: " + strings.Repeat("x", 200), nil, ErrEventTooLong},
		{"comment too long", ":" + strings.Repeat("x", 5000) + "\n", nil, ErrEventTooLong},
		{"event too long", strings.Repeat("data: "+strings.Repeat("x", 30)+"\n", 4) + "\n", nil, ErrEventTooLong},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(test.stream),
				iotest.OneByteReader(strings.NewReader(test.stream))} {
				got, err := readAll(r, 100)
				if diff := cmp.Diff(test.want, got); diff != "" || !errors.Is(err, test.err) {
					t.Errorf("error %v, want %v; %s", err, test.err, diff)
				}
			}
		})
	}
}

func TestReaderPassesErrorsOn(t *testing.T) {
	broken := errors.New("connection reset")
	got, err := readAll(io.MultiReader(strings.NewReader("data: a\n\ndata: b\n"), iotest.ErrReader(broken)), 0)
	if !errors.Is(err, broken) || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestDone(t *testing.T) {
	for data, want := range map[string]bool{"[DONE]": true, " [DONE] ": true, "[DONE": false, "": false,
		`"[DONE]"`: false} {
		if got := (Event{Data: []byte(data)}).Done(); got != want {
			t.Errorf("%q: %v", data, got)
		}
	}
}

// TestRoundTrip: Reader reads what AppendEvent writes, however the bytes arrive.
func TestRoundTrip(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		var stream []byte
		var want []event
		for range rapid.IntRange(0, 8).Draw(t, "events") {
			data := AppendString(nil, anyString().Draw(t, "data"))
			stream = AppendEvent(stream, data)
			want = append(want, event{"", string(data)})
		}
		r := io.Reader(bytes.NewReader(stream))
		if rapid.Bool().Draw(t, "bytewise") {
			r = iotest.HalfReader(r)
		}
		got, err := readAll(r, 0)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Fatal(err, diff)
		}
	})
}

// naive is the specification read literally, for whole streams in memory.
func naive(stream string) (all []event) {
	stream = strings.TrimPrefix(stream, "\ufeff")
	stream = strings.ReplaceAll(strings.ReplaceAll(stream, "\r\n", "\n"), "\r", "\n")
	var e event
	has := false
	lines := strings.SplitAfter(stream, "\n")
	for _, line := range lines[:len(lines)-1] {
		line = strings.TrimSuffix(line, "\n")
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			if has {
				all = append(all, event{e.Type, strings.TrimSuffix(e.Data, "\n")})
			}
			e, has = event{}, false
		case name == "data":
			e.Data += value + "\n"
			has = true
		case name == "event":
			e.Type = value
		}
	}
	if has && lines[len(lines)-1] == "" {
		all = append(all, event{e.Type, strings.TrimSuffix(e.Data, "\n")})
	}
	return all
}

func FuzzReader(f *testing.F) {
	for _, seed := range []string{
		"data: a\n\ndata: [DONE]\n\n", "data: a\r\n\r\n", "\ufeffdata:x\r\revent: e\ndata\n\n",
		": c\n\ndata: a\ndata: b\n\n",
		"data: a", "\r\n\r\n", "\ufeff", "event: e\r\ndata: x\r", "data:\n", strings.Repeat("data: y\n", 50),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, stream string) {
		if len(stream) > 1<<16 {
			return
		}
		got, err := readAll(iotest.HalfReader(strings.NewReader(stream)), 0)
		if err != nil && err != io.ErrUnexpectedEOF {
			t.Fatal(err)
		}
		if diff := cmp.Diff(naive(stream), got); diff != "" {
			t.Errorf("%q: %s", stream, diff)
		}
		if _, err := readAll(strings.NewReader(stream), 16); err != nil && err != io.ErrUnexpectedEOF &&
			!errors.Is(err, ErrEventTooLong) {
			t.Fatal(err)
		}
	})
}
