package catalog

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/convert"
	"github.com/hxp-enterprise/mixtral/internal/model/convert/hftest"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// weightsDir makes a directory of safetensors whose files were written long ago.
func weightsDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "mixtral-8x7b")
	data, err := synth.Bytes(synth.Tiny())
	if err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Mkdir(dir, 0o755), hftest.Write(dir, f, hftest.Options{DType: "bf16",
		Shards: 2})); err != nil {
		t.Fatal(err)
	}
	for _, path := range glob(t, dir, "*") {
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func glob(t *testing.T, dir, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(globEscape(dir), pattern))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// opening opens a directory, counts the bytes that were read for hashes and converted, and closes it.
type opening struct {
	path, id         string
	checked, resumed int64
	converted, whole int64
	said             []string
	err              error
}

func open(ctx context.Context, dir string, o Options) (got opening) {
	o.Progress = func(p Progress) {
		if strings.HasPrefix(p.Stage, "check ") {
			got.checked = p.Done
		} else {
			got.converted, got.whole, got.resumed = p.Done, p.Total, p.Resumed
		}
	}
	o.Say = func(text string) { got.said = append(got.said, text) }
	m, err := OpenWith(ctx, dir, o)
	if got.err = err; err == nil {
		got.path, got.id = m.Path, m.ID
		got.err = m.Close()
	}
	return got
}

// TestConvertedOnce: a directory of safetensors is converted to what model quantize makes of it, the first time; later
// starts read nothing, not even for the hashes.
func TestConvertedOnce(t *testing.T) {
	dir, cache := weightsDir(t), t.TempDir()
	first := open(t.Context(), dir, Options{CacheDir: cache})
	if first.err != nil || first.id != "mixtral-8x7b" || first.checked == 0 || first.converted != first.whole ||
		!strings.Contains(first.path, "mixtral-8x7b-q8_0-") {
		t.Fatalf("%+v", first)
	}
	if len(first.said) != 1 || !strings.Contains(first.said[0], "to q8_0: 0.3") {
		t.Errorf("said %q", first.said)
	}
	source, err := convert.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	mix, _ := convert.ParseMix("q8_0")
	want := filepath.Join(t.TempDir(), "want.gguf")
	if _, err := convert.Run(t.Context(), source, want, convert.Options{Mix: mix}); err != nil {
		t.Fatal(err)
	}
	a, _ := os.ReadFile(want)
	if b, err := os.ReadFile(first.path); err != nil || !bytes.Equal(a, b) {
		t.Errorf("it is not what model quantize makes: %v", err)
	}
	again := open(t.Context(), dir, Options{CacheDir: cache})
	if again.err != nil || again.path != first.path || again.checked != 0 || again.whole != 0 {
		t.Errorf("again: %+v", again)
	}
	if left := glob(t, cache, "converted/*"); len(left) != 2 { // the model and the record
		t.Errorf("in the cache: %v", left)
	}
}

// TestChangedSource: a file that was only touched is read again and nothing is converted; one whose content changed,
// even if size and time are as before, makes another conversion, and the old one goes.
func TestChangedSource(t *testing.T) {
	dir, cache := weightsDir(t), t.TempDir()
	first := open(t.Context(), dir, Options{CacheDir: cache})
	shard := glob(t, dir, "*.safetensors")[1]
	info, err := os.Stat(shard)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(shard, time.Time{}, info.ModTime().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	touched := open(t.Context(), dir, Options{CacheDir: cache})
	if touched.err != nil || touched.path != first.path || touched.checked != info.Size() || touched.whole != 0 {
		t.Errorf("touched: %+v", touched)
	}
	if info, err = os.Stat(shard); err != nil {
		t.Fatal(err)
	}
	before, _ := entryOf(info)
	data, err := os.ReadFile(shard)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-2] ^= 1 // the lowest bit of the last weight
	if err := os.WriteFile(shard, data, 0o644); err != nil {
		t.Fatal(err)
	}
	for range 1000 { // until the clock of files has gone on: the time of the entry is all that tells
		if err := os.Chtimes(shard, time.Time{}, info.ModTime()); err != nil {
			t.Fatal(err)
		}
		now, err := os.Stat(shard)
		if err != nil {
			t.Fatal(err)
		}
		if after, _ := entryOf(now); after != before {
			break
		}
		time.Sleep(time.Millisecond)
	}
	changed := open(t.Context(), dir, Options{CacheDir: cache})
	if changed.err != nil || changed.path == first.path || changed.whole == 0 {
		t.Errorf("changed: %+v", changed)
	}
	if left := glob(t, cache, "converted/*.gguf"); len(left) != 1 || left[0] != changed.path {
		t.Errorf("in the cache: %v", left)
	}
}

// TestConversionContinues: one that was stopped goes on where it was.
func TestConversionContinues(t *testing.T) {
	dir, cache := weightsDir(t), t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	o := Options{CacheDir: cache, Workers: 1, Progress: func(p Progress) {
		if strings.HasPrefix(p.Stage, "convert ") && p.Done > p.Total/2 {
			cancel()
		}
	}}
	if _, err := OpenWith(ctx, dir, o); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if whole := glob(t, cache, "converted/*.gguf"); len(whole) > 0 {
		t.Fatalf("half a model is in place: %v", whole)
	}
	second := open(t.Context(), dir, Options{CacheDir: cache})
	if second.err != nil || second.resumed < second.whole/4 || second.checked != 0 {
		t.Errorf("%+v", second)
	}
	if left := glob(t, cache, "converted/*"); len(left) != 2 {
		t.Errorf("in the cache: %v", left)
	}
}

// TestTypeFits: the widest type that the memory has room for is chosen, or the one that is asked for.
func TestTypeFits(t *testing.T) {
	dir := weightsDir(t)
	source, err := convert.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	for _, c := range []struct {
		memory func(q8, q4 int64) int64
		to     string
		want   string
	}{
		{func(q8, _ int64) int64 { return q8 }, "", "q8_0"},
		{func(q8, _ int64) int64 { return q8 - 1 }, "", "q5_k_m"}, // q6_k needs rows of 256; of these it makes q8_0
		{func(_, q4 int64) int64 { return q4 }, "", "q4_k_m"},
		{func(q8, _ int64) int64 { return q8 }, "Q4_K", "q4_k_m"},
		{func(q8, _ int64) int64 { return q8 }, "bf16", "bf16"},
		{func(_, q4 int64) int64 { return q4 / 2 }, "", ""},
	} {
		need := func(typ string) int64 {
			mix, _ := convert.ParseMix(typ)
			n, err := convert.Size(source, convert.Options{Mix: mix})
			if err != nil {
				t.Fatal(err)
			}
			return footprint(source, n, &Options{})
		}
		o := Options{QuantizeTo: c.to, Memory: c.memory(need("q8_0"), need("q4_k_m"))}
		mix, _, err := choose(source, &o)
		if c.want == "" {
			if err == nil || !strings.Contains(err.Error(), "memory_limit_gb allows") {
				t.Errorf("nothing fits: %v, %v", mix.Name, err)
			}
		} else if err != nil || mix.Name != c.want {
			t.Errorf("%+v: %v, %v, want %s", o, mix.Name, err, c.want)
		}
	}
	if _, err := OpenWith(t.Context(), dir, Options{QuantizeTo: "q9", CacheDir: t.TempDir()}); err == nil ||
		!strings.Contains(err.Error(), "quantize_to") {
		t.Errorf("%v", err)
	}
}

// TestConvertedTogether: two processes that start on one directory convert it once.
func TestConvertedTogether(t *testing.T) {
	dir, cache := weightsDir(t), t.TempDir()
	var all sync.WaitGroup
	results := make([]opening, 3)
	for i := range results {
		all.Go(func() { results[i] = open(t.Context(), dir, Options{CacheDir: cache}) })
	}
	all.Wait()
	converted := 0
	for _, r := range results {
		if r.err != nil || r.path != results[0].path {
			t.Errorf("%+v", r)
		}
		if r.whole > 0 {
			converted++
		}
	}
	if converted != 1 {
		t.Errorf("converted %d times", converted)
	}
	if left := glob(t, cache, "converted/*"); len(left) != 2 {
		t.Errorf("in the cache: %v", left)
	}
}

// TestConvertedMeanwhile: a process that finds no model, and then has to wait for its turn, does not make again what
// another has made by then.
func TestConvertedMeanwhile(t *testing.T) {
	dir, cache := weightsDir(t), t.TempDir()
	c, err := newConversion(dir, "mixtral-8x7b", Options{CacheDir: cache, Progress: func(p Progress) {
		if strings.HasPrefix(p.Stage, "convert ") {
			t.Errorf("it converts: %+v", p)
		}
	}, Say: func(text string) { t.Errorf("it says %q", text) }})
	if err != nil {
		t.Fatal(err)
	}
	defer c.source.Close()
	other := open(t.Context(), dir, Options{CacheDir: cache})
	if other.err != nil || other.whole == 0 {
		t.Fatalf("the other: %+v", other)
	}
	path, err := c.make(t.Context()) // knows the content now
	if err != nil || path != other.path {
		t.Fatalf("%s, %v, want %s", path, err, other.path)
	}
	if err := c.convert(t.Context(), path, c.key(c.mix.Name)); !errors.Is(err, errMade) {
		t.Error(err)
	}
}

// TestSourceChangesMeanwhile: a conversion of files that are being written is not believed.
func TestSourceChangesMeanwhile(t *testing.T) {
	dir, cache := weightsDir(t), t.TempDir()
	shard := glob(t, dir, "*.safetensors")[0]
	o := Options{CacheDir: cache, Progress: func(p Progress) {
		if strings.HasPrefix(p.Stage, "convert ") {
			os.Chtimes(shard, time.Time{}, time.Now())
		}
	}}
	if _, err := OpenWith(t.Context(), dir, o); err == nil || !strings.Contains(err.Error(),
		"changed while it was read") {
		t.Fatalf("%v", err)
	}
	if left := glob(t, cache, "converted/*gguf*"); len(left) > 0 {
		t.Errorf("in the cache: %v", left)
	}
}

// TestDamagedConversion: what another program did to the cache is noticed, and made again.
func TestDamagedConversion(t *testing.T) {
	dir, cache := weightsDir(t), t.TempDir()
	first := open(t.Context(), dir, Options{CacheDir: cache})
	for name, damage := range map[string]func() error{
		"cut":     func() error { return os.Truncate(first.path, 1000) },
		"zeros":   func() error { return os.WriteFile(first.path, make([]byte, first.whole), 0o600) },
		"removed": func() error { return os.Remove(first.path) },
		"record":  func() error { return os.WriteFile(glob(t, cache, "converted/*.json")[0], []byte("{"), 0o600) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		again := open(t.Context(), dir, Options{CacheDir: cache})
		if again.err != nil || again.path != first.path || (again.whole > 0) != (name != "record") {
			t.Errorf("%s: %+v", name, again)
		}
	}
}

// TestNoPlaceToConvert: without a home, or where nothing may be written, the error says which setting helps.
func TestNoPlaceToConvert(t *testing.T) {
	dir := weightsDir(t)
	t.Setenv("HOME", "")
	t.Setenv("XDG_CACHE_HOME", "")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, cache := range []string{"", file, "/proc/none"} {
		_, err := OpenWith(t.Context(), dir, Options{CacheDir: cache})
		var own *Error
		if !errors.As(err, &own) || !strings.Contains(own.Hint, "cache_dir") ||
			strings.Contains(err.Error(), "no such model") {
			t.Errorf("%q: %v (%+v)", cache, err, own)
		}
	}
	// To describe the model, no such place is needed.
	m, err := OpenWith(t.Context(), dir, Options{Describe: true})
	if err != nil {
		t.Fatal(err)
	}
	if m.From != dir || m.Path != "" || len(m.File.Tensors()) == 0 {
		t.Errorf("%+v", m)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

// TestTypesOfOneModel: of several types of one model the largest that fits is taken, and that is said.
func TestTypesOfOneModel(t *testing.T) {
	dir := t.TempDir()
	for name, typ := range map[string]string{"m-v0.1.Q8_0.gguf": "q8_0", "m-v0.1.Q4_0.gguf": "q4_0"} {
		shape := synth.Tiny()
		shape.Type = quantType(t, typ)
		data, err := synth.Bytes(shape)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		o    Options
		want string
		said string
	}{
		{Options{}, "m-v0.1.Q8_0.gguf", "the largest that fits"},
		{Options{Memory: 1}, "m-v0.1.Q4_0.gguf", "the smallest; none fits"},
		{Options{QuantizeTo: "q4_0"}, "m-v0.1.Q4_0.gguf", ""},
	} {
		got := open(t.Context(), dir, c.o)
		if got.err != nil || filepath.Base(got.path) != c.want || (c.said != "") != (len(got.said) > 0) ||
			c.said != "" && !strings.Contains(got.said[0], c.said) {
			t.Errorf("%+v: %+v", c.o, got)
		}
	}
	if got := open(t.Context(), dir, Options{QuantizeTo: "q5_0"}); got.err == nil ||
		!strings.Contains(got.err.Error(), "no GGUF file of type q5_0") {
		t.Errorf("%+v", got)
	}
	for _, path := range []string{"M.Q4_K_M", "M-Q4_K_M-00001-of-00002", "m.i1-IQ3_XXS", "m-f16", "m.BF16", "m_Q8_0"} {
		if got := stem(path + ".gguf"); got != "m" {
			t.Errorf("%s: %q", path, got)
		}
	}
}

// TestRepositoryInCache: a repository in the cache of Hugging Face's own tools is opened by either of its directories,
// and has its own name.
func TestRepositoryInCache(t *testing.T) {
	repo := filepath.Join(t.TempDir(), "models--team--small")
	snap := filepath.Join(repo, "snapshots", "0123abcd")
	if err := errors.Join(os.MkdirAll(filepath.Join(repo, "refs"), 0o755), os.MkdirAll(filepath.Dir(snap), 0o755),
		os.WriteFile(filepath.Join(repo, "refs", "main"), []byte("0123abcd"), 0o600),
		os.Rename(weightsDir(t), snap)); err != nil {
		t.Fatal(err)
	}
	cache := t.TempDir()
	for _, dir := range []string{repo, snap} {
		if got := open(t.Context(), dir, Options{CacheDir: cache}); got.err != nil || got.id != "small" {
			t.Errorf("%s: %+v", dir, got)
		}
	}
	if models := glob(t, cache, "converted/*.gguf"); len(models) != 1 {
		t.Errorf("in the cache: %v", models)
	}
}

func quantType(t *testing.T, name string) quant.Type {
	t.Helper()
	typ, err := quant.ParseType(name)
	if err != nil {
		t.Fatal(err)
	}
	return typ
}
