package loadgen

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/base/property"
	"pgregory.net/rapid"
)

// cut reads a stream that arrives in pieces.
func cut(pieces ...string) (all []string, err error) {
	var e events
	each := func(data []byte) error {
		all = append(all, string(data))
		return nil
	}
	for _, p := range pieces {
		if err := e.feed([]byte(p), each); err != nil {
			return all, err
		}
	}
	return all, e.finish(each)
}

func TestEvents(t *testing.T) {
	for _, c := range []struct {
		name, stream string
		want         []string
	}{
		{"usual", "data: a\n\ndata: b\n\ndata: [DONE]\n\n", []string{"a", "b", "[DONE]"}},
		{"no space", "data:a\n\ndata:  b\n\n", []string{"a", " b"}},
		{"CRLF", "data: a\r\n\r\ndata: b\r\n\r\n", []string{"a", "b"}},
		{"CR", "data: a\r\rdata: b\r\r", []string{"a", "b"}},
		{"comments and fields", ": ping\n\nevent: x\nid: 1\ndata: a\nretry: 5\n\n", []string{"a"}},
		{"several lines", "data: a\ndata: b\n\ndata: c\n\n", []string{"a\nb", "c"}},
		{"no data", "event: x\n\n\n\n", nil},
		{"empty data", "data\n\ndata:\n\n", []string{"", ""}},
		{"byte order mark", "\xef\xbb\xbfdata: a\n\n", []string{"a"}},
		{"no empty line at the end", "data: a\n\ndata: b", []string{"a", "b"}},
		{"done without an empty line", "data: a\n\ndata: [DONE]\n", []string{"a", "[DONE]"}},
	} {
		whole, err := cut(c.stream)
		if err != nil || !slices.Equal(whole, c.want) {
			t.Errorf("%s: %q, %v; want %q", c.name, whole, err, c.want)
		}
		if bytewise, err := cut(strings.Split(c.stream, "")...); err != nil || !slices.Equal(bytewise, c.want) {
			t.Errorf("%s, byte by byte: %q, %v; want %q", c.name, bytewise, err, c.want)
		}
	}
}

func TestEventsAreBounded(t *testing.T) {
	for name, stream := range map[string]string{
		"a line":   "data: " + strings.Repeat("x", maxLine),
		"an event": strings.Repeat("data: "+strings.Repeat("x", maxLine/4)+"\n", 6),
	} {
		var pieces []string
		for rest := stream; rest != ""; {
			n := min(len(rest), 4096)
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		if _, err := cut(pieces...); err == nil {
			t.Errorf("%s without end passes", name)
		}
	}
}

// TestEventsLikeTheReader compares this reader with the simple one of package openai, however the stream is cut into
// pieces.
func TestEventsLikeTheReader(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOf(rapid.SampledFrom([]string{"data: ", "data:", "data", "a", "{}", "\n", "\n\n", "\r",
			"\r\n", ": c", "event: e", " ", "x: y"})).Draw(t, "parts")
		stream := strings.Join(parts, "") + "\n\n"
		var pieces []string
		for rest := stream; rest != ""; {
			n := min(rapid.IntRange(1, 12).Draw(t, "cut"), len(rest))
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		var want []string
		r := openai.NewReader(strings.NewReader(stream), 0)
		for {
			e, err := r.Next()
			if err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			want = append(want, string(e.Data))
		}
		if got, err := cut(pieces...); err != nil || !slices.Equal(got, want) {
			t.Fatalf("%q: got %q, %v; want %q", stream, got, err, want)
		}
	})
}

func FuzzEvents(f *testing.F) {
	f.Add([]byte("data: a\r\n\r\n: c\ndata:b\n\n"), uint8(3))
	f.Add([]byte("data: [DONE]"), uint8(1))
	f.Fuzz(func(t *testing.T, stream []byte, size uint8) {
		whole, err := cut(string(stream))
		if err != nil {
			return
		}
		var pieces []string
		for rest := string(stream); rest != ""; {
			n := min(len(rest), int(size)+1)
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		if got, err := cut(pieces...); err != nil || !slices.Equal(got, whole) {
			t.Fatalf("whole %q, in pieces of %d %q, %v", whole, int(size)+1, got, err)
		}
	})
}
