package moe

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/kernel"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// rewrite gives a file in the other order.
func rewrite(t testing.TB, f *gguf.File) []byte {
	t.Helper()
	r, err := NewRewriting(f)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := r.Write(t.Context(), &b, 2); err != nil {
		t.Fatal(err)
	}
	if int64(b.Len()) != r.Size() {
		t.Errorf("wrote %d bytes, Size said %d", b.Len(), r.Size())
	}
	return b.Bytes()
}

func parse(t testing.TB, data []byte) *gguf.File {
	t.Helper()
	f, err := gguf.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// tied takes the output matrix away, so that the embedding serves as one.
func tied(t testing.TB, f *gguf.File) *gguf.File {
	t.Helper()
	var b bytes.Buffer
	w := gguf.NewWriter(&b)
	for _, key := range f.Keys() {
		if err := w.Copy(f, key); err != nil {
			t.Fatal(err)
		}
	}
	kept := slices.DeleteFunc(slices.Clone(f.Tensors()), func(x gguf.Tensor) bool { return x.Name == "output.weight" })
	for _, x := range kept {
		if err := w.Add(x.Name, x.Type, x.Dims...); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.WriteHeader(); err != nil {
		t.Fatal(err)
	}
	for _, x := range kept {
		if err := w.WriteTensor(x.Name, x.Data); err != nil {
			t.Fatal(err)
		}
	}
	return parse(t, b.Bytes())
}

// TestPackedComputesTheSame: a packed file gives the logits of the file it was packed from, bit for bit, is described
// as that is, and unpacked is that, byte for byte. In every format, with odd numbers of rows, in both layouts of
// experts, with and without an output matrix of its own.
func TestPackedComputesTheSame(t *testing.T) {
	types := quant.Writable()
	if testing.Short() { // what a file is like; the kernels' tests pack and unpack each format
		types = []quant.Type{quant.BF16, quant.Q5_0, quant.Q4_K}
	}
	for _, typ := range types {
		odd := shape(typ)
		odd.Layers, odd.Vocab, odd.FFN = 2, 333, 256
		if typ.BlockLen() <= 32 {
			odd.Dim, odd.FFN, odd.Heads, odd.KVHeads = 96, 160, 6, 3
		}
		old := odd
		old.OldExpertLayout = true
		files := map[string]*gguf.File{"stacked": makeFile(t, odd)}
		if typ == quant.Q5_0 || typ == quant.Q4_K { // the layout has nothing to do with the format
			files["old experts"], files["tied"] = makeFile(t, old), tied(t, makeFile(t, odd))
		}
		for name, f := range files {
			t.Run(typ.String()+"/"+name, func(t *testing.T) {
				data := rewrite(t, f)
				p := parse(t, data)
				if !IsPacked(p) || IsPacked(f) || p.Alignment != packedAlignment {
					t.Fatalf("packed: %v, was %v, alignment %d", IsPacked(p), IsPacked(f), p.Alignment)
				}
				plain, packed := load(t, f, 2), load(t, p, 2)
				if packed.arena != nil || plain.hold != nil {
					t.Error("a packed file is copied, or a plain one held")
				}
				tokens := randomTokens(4, 40, plain.cfg.Vocab)
				sameBits(t, "packed", newSession(t, packed, len(tokens)).feed(tokens),
					newSession(t, plain, len(tokens)).feed(tokens))
				sameInfo(t, packed.Info(), plain.Info())
				again := parse(t, rewrite(t, p))
				sameFile(t, again, f)
			})
		}
	}
}

// sameInfo compares what is known of a packed and a plain file. Sizes differ by what fills panels and arenas.
func sameInfo(t *testing.T, packed, plain Info) {
	t.Helper()
	opts := []cmp.Option{cmp.AllowUnexported(Info{}), cmpopts.IgnoreFields(Info{}, "Packed", "Mapped"),
		cmpopts.IgnoreFields(Format{}, "Bytes")}
	if d := cmp.Diff(plain, packed, opts...); d != "" {
		t.Errorf("info: %s", d)
	}
	if !packed.Mapped || plain.Mapped || math.Abs(float64(packed.Packed-plain.Packed)) > 0.01*float64(plain.Packed) {
		t.Errorf("weights of %d bytes, mapped: %v; of %d bytes, mapped: %v", packed.Packed, packed.Mapped,
			plain.Packed, plain.Mapped)
	}
}

func sameFile(t *testing.T, got, want *gguf.File) {
	t.Helper()
	if d := cmp.Diff(want.Keys(), got.Keys()); d != "" {
		t.Errorf("keys: %s", d)
	}
	if !slices.EqualFunc(got.Tensors(), want.Tensors(), func(a, b gguf.Tensor) bool {
		return a.Name == b.Name && a.Type == b.Type && slices.Equal(a.Dims, b.Dims) && bytes.Equal(a.Data, b.Data)
	}) {
		t.Error("tensors differ")
	}
}

// TestPackedSynth: with no odd numbers, what comes back from a packed file is the file.
func TestPackedSynth(t *testing.T) {
	s, _ := synth.Preset("tiny")
	data, err := synth.Bytes(s)
	if err != nil {
		t.Fatal(err)
	}
	if again := rewrite(t, parse(t, rewrite(t, parse(t, data)))); !bytes.Equal(again, data) {
		t.Errorf("%d bytes came back as %d others", len(data), len(again))
	}
}

// TestWeights: weights are read in rows from a packed file, too.
func TestWeights(t *testing.T) {
	s := shape(quant.Q4_K)
	s.Vocab = 333
	f := makeFile(t, s)
	p := parse(t, rewrite(t, f))
	r, err := NewRewriting(p)
	if err != nil {
		t.Fatal(err)
	}
	if r.Packs() {
		t.Error("packs what is packed")
	}
	for _, x := range p.Tensors() {
		var got []byte
		if err := r.Weights(x, func(typ quant.Type, data []byte) error {
			if typ != x.Type {
				t.Errorf("%s is %v, not %v", x.Name, typ, x.Type)
			}
			got = append(got, data...)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		want, ok := f.Tensor(x.Name)
		if !ok {
			want, _ = f.Tensor(plainName(x.Name))
		}
		if !bytes.Equal(got, want.Data) {
			t.Errorf("%s: other weights", x.Name)
		}
	}
	stop := errors.New("enough")
	if err := r.Weights(p.Tensors()[0], func(quant.Type, []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("stopped with %v", err)
	}
}

// TestPackedFile: a packed file on disk is computed from when its File is closed and its name is another file's; it
// is let go with the model; and one that ends early is an error.
func TestPackedFile(t *testing.T) {
	f := parse(t, little(t))
	path := filepath.Join(t.TempDir(), "m.gguf")
	data := rewrite(t, f)
	write := func() {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write()
	tokens := randomTokens(5, 10, 300)
	want := newSession(t, load(t, f, 1), len(tokens)).feed(tokens)
	for name, open := range map[string]func(string) (*gguf.File, error){"mapped": gguf.Open, "copied": gguf.OpenCopy} {
		p, err := open(path)
		if err != nil {
			t.Fatal(err)
		}
		m := load(t, p, 2)
		if err := errors.Join(p.Close(), os.WriteFile(path+".new", []byte("GGUF"), 0o600),
			os.Rename(path+".new", path)); err != nil {
			t.Fatal(err)
		}
		sameBits(t, name, newSession(t, m, len(tokens)).feed(tokens), want)
		if err := errors.Join(m.Close(), m.Close()); err != nil {
			t.Error(err)
		}
		write()
	}
	p, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if os.Getenv("MIXTRAL_EMULATED") != "" {
		return // qemu-user does not say which page of a file is missing; on a real processor the rest is tested
	}
	if err := os.Truncate(path, int64(len(data)/8192*4096)); err != nil {
		t.Fatal(err)
	}
	if m, err := Load(p, Options{Workers: 2}); err == nil || !errors.Is(err, gguf.ErrChanged) {
		t.Errorf("a file that was cut after it was opened: %v", err)
		m.Close()
	}
}

// TestRewritingStops: by its context, by a disk that is full, by a source that changes.
func TestRewritingStops(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.gguf")
	if err := os.WriteFile(path, little(t), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := NewRewriting(f)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Write(ctx, new(bytes.Buffer), 1); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	full := errors.New("full")
	if err := r.Write(t.Context(), failing{full}, 1); !errors.Is(err, full) {
		t.Errorf("a full disk: %v", err)
	}
	if err := os.Chtimes(path, longAgo, longAgo); err != nil {
		t.Fatal(err)
	}
	if err := r.Write(t.Context(), new(bytes.Buffer), 1); !errors.Is(err, gguf.ErrChanged) {
		t.Errorf("a file that was touched: %v", err)
	}
}

var longAgo = time.Unix(1, 0)

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// TestHostilePacked: each lie in a packed file is found, and no file of one order passes for one of the other.
func TestHostilePacked(t *testing.T) {
	good := rewrite(t, parse(t, little(t)))
	if err := open(good); err != nil {
		t.Fatal(err)
	}
	first := bytes.Clone(good)
	binary.LittleEndian.PutUint32(first[bytes.Index(first, []byte(keyLayout))+len(keyLayout)+4:], 1)
	if err := open(first); err != nil {
		t.Errorf("a file of the first layout, without formats that have another now: %v", err)
	}
	behind := func(b []byte, what string) []byte {
		i := bytes.Index(b, []byte(what))
		if i < 0 {
			t.Fatalf("no %s in the file", what)
		}
		return b[i+len(what):]
	}
	rename := func(from, to string) func([]byte) {
		return func(b []byte) { copy(b[bytes.Index(b, []byte(from)):], to) }
	}
	for name, test := range map[string]struct {
		spoil func([]byte)
		text  string
	}{
		"another layout": {func(b []byte) { binary.LittleEndian.PutUint32(behind(b, keyLayout)[4:], 9) },
			"mixtral-panels.layout is 9, and this program computes with 3: pack the original again"},
		"no layout":      {rename(keyLayout, "mixtral-panels.layouX"), "mixtral-panels.layout"},
		"layout as text": {func(b []byte) { binary.LittleEndian.PutUint32(behind(b, keyLayout), 6) }, keyLayout},
		"rows not filled up": {func(b []byte) {
			binary.LittleEndian.PutUint64(behind(b, "\x0d\x00\x00\x00\x00\x00\x00\x00output.panels")[4+8:], 300)
		}, "output.panels must have the shape [32 320], got [32 300]"},
		"more rows": {func(b []byte) {
			binary.LittleEndian.PutUint64(behind(b, "blk.0.attn_k.panels")[4+8:],
				64)
		}, "blk.0.attn_k.panels"},
		"rows of 2⁶³": {func(b []byte) {
			binary.LittleEndian.PutUint64(behind(b, "blk.0.attn_k.panels")[4+8:],
				1<<63)
		}, "blk.0.attn_k.panels"},
		"a plain matrix": {rename("blk.0.attn_k.panels", "blk.0.attn_k.weight"), "blk.0.attn_k.panels is missing"},
		"a packed norm": {rename("blk.0.attn_norm.weight", "blk.0.attn_norm.panels"),
			"blk.0.attn_norm.weight is missing"},
		"another format": {func(b []byte) {
			binary.LittleEndian.PutUint32(behind(b, "blk.0.ffn_up_exps.panels")[4+24:], uint32(quant.F32))
		}, "blk.0.ffn_up_exps.panels"},
		"an alignment of 2 MiB": {func(b []byte) {
			binary.LittleEndian.PutUint32(behind(b, "general.alignment")[4:],
				1<<21)
		}, "general.alignment"},
	} {
		bad := bytes.Clone(good)
		test.spoil(bad)
		err := open(bad)
		if err == nil || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: %v, want something about %q", name, err, test.text)
		} else if !errors.Is(err, ErrModel) && !errors.Is(err, gguf.ErrFormat) {
			t.Errorf("%s: %v matches no sentinel", name, err)
		}
	}
	for n := 0; n < len(good)-packedAlignment; n += 499 { // the last tensor is filled up to a page
		if err := open(good[:n]); err == nil {
			t.Errorf("cut to %d of %d bytes: no error", n, len(good))
		}
	}
	if kernel.FileLayout == plainArchitecture || strings.HasSuffix(panelSuffix, plainSuffix) {
		t.Error("other programs would take a packed file for a plain one")
	}
}

// TestUnaligned: a packed file of another alignment, or somewhere in memory, computes the same.
func TestUnaligned(t *testing.T) {
	f := parse(t, little(t))
	data := rewrite(t, f)
	moved := make([]byte, len(data)+64)
	tokens := randomTokens(5, 10, 300)
	want := newSession(t, load(t, f, 1), len(tokens)).feed(tokens)
	for _, off := range []int{0, 8, 40} {
		b := moved[off : off+len(data)]
		copy(b, data)
		sameBits(t, "moved", newSession(t, load(t, parse(t, b), 1), len(tokens)).feed(tokens), want)
	}
}
