//go:build unix

package moe

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// loadLater loads a file that is packed later, whatever its size.
func loadLater(t *testing.T, f *gguf.File, workers int) *Model {
	t.Helper()
	old := laterFrom
	laterFrom = 0
	defer func() { laterFrom = old }()
	m := load(t, f, workers)
	if m.later == nil {
		t.Fatal("it was packed at once")
	}
	return m
}

func small(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := synth.Write(&b, shape(quant.Q8_0)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestLater: a model computes the same bit for bit in its first passes, while it is packed beside them, and when all
// is packed, with its file closed.
func TestLater(t *testing.T) {
	data := small(t)
	now := load(t, parse(t, data), 2)
	for _, waits := range []time.Duration{0, laterIdle + 5*time.Millisecond} {
		f, _ := opened(t, data)
		m := loadLater(t, f, 2)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		got, want := newSession(t, m, 64), newSession(t, now, 64)
		vocab := m.cfg.Vocab
		for _, tokens := range [][]int32{randomTokens(1, 20, vocab), {5}, {6}, randomTokens(2, 9, vocab), {7}} {
			sameBits(t, "packed later", got.feed(tokens), want.feed(tokens))
			m.Parallel(3, func(int, int) {})
			time.Sleep(waits)
		}
		m.run.Lock()
		if waits == 0 && !m.layers[0].q.Packed() {
			t.Error("a matrix that passes have multiplied with is not packed")
		}
		m.run.Unlock()
		m.Settle()
		for _, j := range m.later.jobs {
			if j.to != nil && !j.mat.Packed() {
				t.Errorf("%s is not packed", j.name)
			}
		}
		if &m.embed[0] == &m.later.jobs[0].data[0] {
			t.Error("embeddings are still read from the file")
		}
		tokens := []int32{1, 2, 3}
		sameBits(t, "all packed", got.feed(tokens), want.feed(tokens))
	}
}

// TestLaterCut: where the file is cut or touched before all of it is packed, no pass gives a result any more, and the
// error says why.
func TestLaterCut(t *testing.T) {
	old := laterStart
	laterStart = time.Hour // only Settle begins to pack
	defer func() { laterStart = old }()
	data := small(t)
	span := []Span{{Tokens: []int32{1, 2, 3}, Blocks: []int32{0}, Logits: 1}}
	refused := func(m *Model) {
		t.Helper()
		_, err := m.Forward(m.NewStorage(1), span)
		if !errors.Is(err, gguf.ErrChanged) || !strings.Contains(err.Error(), "m.gguf") {
			t.Errorf("computed with: %v", err)
		}
	}
	f, cut := opened(t, data)
	m := loadLater(t, f, 2)
	cut()
	refused(m)
	m.Settle()
	refused(m)

	f, cut = opened(t, data)
	m = loadLater(t, f, 1)
	cut()
	m.Settle() // the work between passes meets the end first
	refused(m)

	f, _ = opened(t, data)
	m = loadLater(t, f, 2)
	if err := os.Chtimes(f.Paths()[0], time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Forward(m.NewStorage(1), span); err != nil {
		t.Error(err)
	}
	m.Settle()
	refused(m)
}

// TestLaterReplaced: a file that another one replaces, or that is removed, is still the one that was loaded.
func TestLaterReplaced(t *testing.T) {
	data := small(t)
	now := load(t, parse(t, data), 1)
	for _, replace := range []func(path string) error{os.Remove, func(path string) error {
		if err := os.WriteFile(path+".new", []byte("another model"), 0o600); err != nil {
			return err
		}
		return os.Rename(path+".new", path)
	}} {
		f, _ := opened(t, data)
		m := loadLater(t, f, 1)
		if err := replace(f.Paths()[0]); err != nil {
			t.Fatal(err)
		}
		m.Settle()
		tokens := []int32{1, 2, 3}
		sameBits(t, "replaced", newSession(t, m, 3).feed(tokens), newSession(t, now, 3).feed(tokens))
	}
}

// TestLaterCloses: a model can be closed at once, and while it is packed.
func TestLaterCloses(t *testing.T) {
	data := small(t)
	for _, after := range []time.Duration{0, laterStart, laterStart + 3*time.Millisecond} {
		f, _ := opened(t, data)
		old := laterFrom
		laterFrom = 0
		m, err := Load(f, Options{Workers: 2})
		laterFrom = old
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(after)
		if err := errors.Join(m.Close(), m.Close(), f.Close()); err != nil {
			t.Error(err)
		}
	}
}
