package convert

import (
	"bytes"
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

func rows(seed uint64, n, cols int) [][]float32 {
	rng := rand.New(rand.NewPCG(seed, 0))
	all := make([][]float32, n)
	for i := range all {
		all[i] = make([]float32, cols)
		for k := range all[i] {
			all[i][k] = float32(rng.NormFloat64())
		}
	}
	return all
}

func add(t testing.TB, e *Sum, part int, rows [][]float32) {
	t.Helper()
	if err := e.Add(part, rows); err != nil {
		t.Fatal(err)
	}
}

// TestSumsByHand: three tokens, two experts, one of which sees one token.
func TestSumsByHand(t *testing.T) {
	s := NewSums()
	e := s.Share(2, 3, "blk.0.ffn_up_exps.weight", "blk.0.ffn_gate_exps.weight")
	add(t, e, 0, [][]float32{{1, 2}, {3, -4}})
	add(t, e, 2, [][]float32{{0, 0.5}})
	if !slices.Equal(e.squares, []float64{10, 20, 0, 0, 0, 0.25}) || !slices.Equal(e.counts, []float64{2, 0, 1}) {
		t.Errorf("%+v", e)
	}
	if m := e.means(); !slices.Equal(m, []float32{5, 10, 1, 1, 0, 0.25}) {
		t.Errorf("means %v", m)
	}
	gaps := s.Unseen()
	if len(gaps) != 2 || gaps[0].Tensor != "blk.0.ffn_gate_exps.weight" || !slices.Equal(gaps[0].Parts, []int{1}) {
		t.Errorf("gaps %v", gaps)
	}
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(-1)), 1e30} {
		if err := e.Add(1, [][]float32{{1, bad}}); err == nil || !strings.Contains(err.Error(), "column 1") {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

// TestSumsOfManyWorkers: the number of CPUs changes no bit.
func TestSumsOfManyWorkers(t *testing.T) {
	all := rows(1, 300, 5000) // enough for several goroutines
	var want []float64
	for _, n := range []int{1, 3, 4} {
		before := runtime.GOMAXPROCS(n)
		e := NewSums().Share(5000, 1, "a")
		add(t, e, 0, all)
		runtime.GOMAXPROCS(before)
		if want == nil {
			want = e.squares
		}
		if !slices.Equal(e.squares, want) {
			t.Errorf("GOMAXPROCS %d gives other sums", n)
		}
	}
}

// TestSumsRoundTrip: what is written is read again, up to float32.
func TestSumsRoundTrip(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		s := NewSums()
		s.Chunks, s.ChunkSize = rapid.IntRange(0, 1e6).Draw(t, "chunks"), rapid.IntRange(0, 1e5).Draw(t, "size")
		s.Datasets = rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "datasets")
		for _, name := range rapid.SliceOfNDistinct(rapid.StringMatching(`blk\.\d\.[a-z_]{1,9}\.weight`), 1, 4,
			rapid.ID).Draw(t, "names") {
			e := s.Share(rapid.IntRange(1, 20).Draw(t, "cols"), rapid.IntRange(1, 5).Draw(t, "parts"), name)
			for i := range e.squares {
				e.squares[i] = rapid.Float64Range(0, 1e30).Draw(t, "square")
			}
			for i := range e.counts {
				e.counts[i] = float64(rapid.IntRange(0, 1<<24).Draw(t, "count"))
			}
		}
		var b bytes.Buffer
		if err := s.write(&b); err != nil {
			t.Fatal(err)
		}
		r, legacy, err := parseSums(b.Bytes())
		if err != nil || legacy {
			t.Fatal(legacy, err)
		}
		if r.Chunks != s.Chunks || r.ChunkSize != s.ChunkSize || !slices.Equal(r.Datasets, s.Datasets) ||
			len(r.entries) != len(s.entries) {
			t.Fatalf("%+v, want %+v", r, s)
		}
		for name, e := range s.entries {
			got := r.entries[name]
			same := slices.EqualFunc(got.squares, e.squares,
				func(a, b float64) bool { return a == float64(float32(b)) })
			if !same || !slices.Equal(got.counts, e.counts) {
				t.Fatalf("%s: %+v, want %+v", name, got, e)
			}
		}
	})
}

// TestMergeSums: sums of two texts are the sums of both texts read in one go; files of the older format fit in.
func TestMergeSums(t *testing.T) {
	const name = "blk.0.ffn_up_exps.weight"
	dir := t.TempDir()
	whole, a, b := NewSums(), NewSums(), NewSums()
	both := whole.Share(4, 2, name)
	for i, s := range []*Sums{a, b} {
		s.Datasets, s.Chunks, s.ChunkSize = []string{string(rune('a' + i))}, i+1, 16
		one := s.Share(4, 2, name)
		for part := range 2 {
			r := rows(uint64(10*i+part), 5, 4)
			add(t, one, part, r)
			add(t, both, part, r)
		}
	}
	m, err := MergeSums(a, b)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range m.entries[name].squares {
		if w := both.squares[i]; math.Abs(v-w) > 1e-12*w {
			t.Errorf("value %d is %v, want %v", i, v, w)
		}
	}
	if m.Chunks != 3 || m.ChunkSize != 16 || !slices.Equal(m.Datasets, []string{"a", "b"}) ||
		!slices.Equal(m.entries[name].counts, both.counts) {
		t.Errorf("%+v %v", m, m.entries[name].counts)
	}
	if slices.Equal(m.entries[name].squares, a.entries[name].squares) {
		t.Error("merging changed what was merged")
	}

	path := filepath.Join(dir, "old.dat")
	means := []float32{1, 2, 3, 4, 5, 6, 7, 8}
	if err := os.WriteFile(path, legacy(map[string][]float32{name: means}, 3), 0o600); err != nil {
		t.Fatal(err)
	}
	old, err := ReadSums(path, 16)
	if err != nil {
		t.Fatal(err)
	}
	if old.Chunks != 3 || !slices.Equal(old.Datasets, []string{"text"}) {
		t.Errorf("%+v", old)
	}
	for _, order := range [][]*Sums{{a, old}, {old, a}} {
		m, err := MergeSums(order...)
		if err != nil {
			t.Fatal(err)
		}
		e := m.entries[name]
		if want := a.entries[name].squares[5] + 6*3*16; e.squares[5] != want ||
			!slices.Equal(e.counts, []float64{5 + 48, 5 + 48}) {
			t.Errorf("sum %v, want %v; counts %v", e.squares[5], want, e.counts)
		}
	}

	other := NewSums()
	other.Share(5, 2, name)
	if _, err := MergeSums(a, other); !errors.Is(err, ErrImportance) || !strings.Contains(err.Error(), name) {
		t.Errorf("another width: %v", err)
	}
	other.Share(2, 4, name)
	if _, err := MergeSums(a, other); !errors.Is(err, ErrImportance) || !strings.Contains(err.Error(), "experts") {
		t.Errorf("another number of experts: %v", err)
	}
}

// TestUnseenExperts: an expert that the text did not reach is quantised as without a matrix, and named; the others
// with it.
func TestUnseenExperts(t *testing.T) {
	shape := synth.Tiny()
	shape.Dim, shape.FFN, shape.Type = 256, 256, quant.F32
	model, err := synth.Bytes(shape)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	in, file := filepath.Join(dir, "in.gguf"), filepath.Join(dir, "imatrix.gguf")
	if err := os.WriteFile(in, model, 0o600); err != nil {
		t.Fatal(err)
	}
	const name, blind = "blk.1.ffn_down_exps.weight", 3
	s := NewSums()
	e := s.Share(256, shape.Experts, name)
	for part := range shape.Experts {
		if part != blind {
			add(t, e, part, rows(uint64(part), 2, 256))
		}
	}
	if err := s.WriteFile(file); err != nil {
		t.Fatal(err)
	}
	m, err := ReadImportance(file)
	if err != nil {
		t.Fatal(err)
	}
	source, err := Open(in)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	gaps, err := m.Gaps(source)
	if err != nil {
		t.Fatal(err)
	}
	said := map[string][]int{}
	for _, g := range gaps {
		said[g.Tensor] = g.Parts
	}
	if want := 7 * shape.Layers; len(said) != want || !slices.Equal(said[name], []int{blind}) ||
		said["blk.0.attn_q.weight"] != nil {
		t.Errorf("%d gaps %v, want %d", len(said), slices.Sorted(maps.Keys(said)), want)
	}
	plain, _ := convert(t, in, Options{Mix: mix(t, "q2_k")})
	weighted, _ := convert(t, in, Options{Mix: mix(t, "q2_k"), Importance: m})
	x, _ := plain.Tensor(name)
	y, _ := weighted.Tensor(name)
	each := len(x.Data) / shape.Experts
	for part := range shape.Experts {
		same := bytes.Equal(x.Data[part*each:(part+1)*each], y.Data[part*each:(part+1)*each])
		if same != (part == blind) {
			t.Errorf("expert %d: the same bytes as without a matrix: %v", part, same)
		}
	}
}
