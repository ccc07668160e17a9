package hostile

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Allocated returns the bytes that a function allocates in all, and the time that it takes.
func Allocated(f func()) (bytes uint64, took time.Duration) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	f()
	took = time.Since(began)
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc, took
}

// Most is how much reading a file from outside may allocate in all: a small multiple of an ordinary file of the
// largest kind, or a multiple of the file's own size, whichever is more.
type Most struct {
	Bytes uint64 // for a file of any size
	Times uint64 // times the file's size
}

// Slow is longer than any bounded reader takes, also on a busy machine.
const Slow = time.Minute

// Bombs reads each of the named texts. None may allocate more than most, or take long. The reader may accept or refuse
// it.
func Bombs(t *testing.T, bombs map[string]string, most Most, read func(data []byte) error) {
	t.Helper()
	for name, text := range bombs {
		data := []byte(text)
		var err error
		got, took := Allocated(func() { err = read(data) })
		if limit := max(most.Bytes, most.Times*uint64(len(data))); got > limit || took > Slow {
			t.Errorf("%s: %d bytes allocated for %d, at most %d are allowed, in %v: %.200v", name, got,
				len(data), limit, took, err)
		}
		t.Logf("%-24s %9d bytes: %10d allocated in %6v, %.120v", name, len(data), got,
			took.Round(time.Millisecond), err)
	}
}

// Texts returns bombs of JSON of every form, each in place of %s in a text; size is about their size in bytes.
func Texts(in string, size int) map[string]string {
	fill := func(unit string) string {
		return strings.TrimSuffix(strings.Repeat(unit, size/len(unit)), ",")
	}
	var keys strings.Builder
	for i := 0; keys.Len() < size; i++ {
		fmt.Fprintf(&keys, `"%x":0,`, i)
	}
	put := func(text string) string { return strings.Replace(in, "%s", text, 1) }
	return map[string]string{
		"deep lists":    put(strings.Repeat("[", size/2) + strings.Repeat("]", size/2)),
		"deep objects":  put(strings.Repeat(`{"a":`, size/6) + "0" + strings.Repeat("}", size/6)),
		"open lists":    put(strings.Repeat("[", size)),
		"empty objects": put("[" + fill("{},") + "]"),
		"fewer objects": put("[" + strings.Repeat("{},", size/4) + "{}]"), // two values each: as many as are allowed
		"empty lists":   put("[" + fill("[],") + "]"),
		"empty texts":   put("[" + fill(`"",`) + "]"),
		"numbers":       put("[" + fill("0,") + "]"),
		"keys":          put("{" + strings.TrimSuffix(keys.String(), ",") + "}"),
		"one key":       put("{" + fill(`"":0,`) + "}"),
		"a long text":   put(`"` + strings.Repeat("x", size) + `"`),
		"escapes":       put(`"` + strings.Repeat(`\u0001`, size/6) + `"`),
		"a long number": put(strings.Repeat("9", size)),
	}
}
