package compare

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/token"
	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/calibrate"
	"github.com/hxp-enterprise/mixtral/internal/model/convert"
	"github.com/hxp-enterprise/mixtral/models/demo"
)

const demoData = "../../models/demo/testdata/"

// heldOut are every other of the conversations that the demo model was not trained on; their answers count.
func heldOut(t *testing.T, tok *token.Tokenizer) (all []text) {
	t.Helper()
	var vectors struct {
		Sequences []struct {
			Tokens []int32 `json:"tokens"`
			Answer string  `json:"answer"`
		} `json:"sequences"`
	}
	if err := json.Unmarshal(gunzip(t, demoData+"vectors.json.gz"), &vectors); err != nil {
		t.Fatal(err)
	}
	for i, s := range vectors.Sequences {
		if i%2 == 0 {
			all = append(all, text{s.Tokens, len(s.Tokens) - len(tok.Encode(s.Answer, false)) - 1}) // and EOS
		}
	}
	return all
}

func gunzip(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// predictions are the log-probabilities of every piece for each token of the answers.
type predictions [][]float32

func (o *ours) predict(t *testing.T, all []text) (p predictions) {
	t.Helper()
	for _, c := range all {
		rows := o.forward(t, c.Tokens, 0, len(c.Tokens))
		for i := c.Begin; i < len(c.Tokens); i++ {
			p = append(p, logSoftmax(rows[i-1]))
		}
	}
	return p
}

func logSoftmax(row []float32) []float32 {
	top, sum := float64(slices.Max(row)), 0.0
	for _, v := range row {
		sum += math.Exp(float64(v) - top)
	}
	out := make([]float32, len(row))
	for i, v := range row {
		out[i] = float32(float64(v) - top - math.Log(sum))
	}
	return out
}

// score gives the perplexity of the answers, and the Kullback-Leibler divergence from the original's predictions in
// nats a token.
func score(all []text, original, p predictions) (perplexity, divergence float64) {
	n, loss := 0, 0.0
	for _, c := range all {
		for _, id := range c.Tokens[c.Begin:] {
			loss -= float64(p[n][id])
			for i, q := range original[n] {
				divergence += math.Exp(float64(q)) * float64(q-p[n][i])
			}
			n++
		}
	}
	return math.Exp(loss / float64(n)), divergence / float64(n)
}

// perplexity asks llama.cpp.
func (l *library) perplexity(t *testing.T, path string, all []text) float64 {
	t.Helper()
	n := 0
	for _, c := range all {
		n += len(c.Tokens) - c.Begin
	}
	return math.Exp(l.ask(t, libraryCall{Op: "loss", From: path, Texts: all}).Loss / float64(n))
}

// pureMix gives the mix that with --pure makes every matrix the format, and llama.cpp's number of it.
func pureMix(t *testing.T, typ quant.Type) (convert.Mix, int) {
	t.Helper()
	name := strings.ToLower(typ.String())
	switch typ {
	case quant.Q3_K, quant.Q4_K, quant.Q5_K:
		name += "_s"
	case quant.IQ2_S:
		name = "iq2_m" // what llama.cpp calls iq2_s is made of IQ2_XS
	}
	m, err := convert.ParseMix(name)
	if err == nil != typ.Writable() {
		t.Fatalf("%v: %v", typ, err)
	}
	m.Pure = true
	for n, other := range fileTypes {
		if other == name {
			return m, n
		}
	}
	t.Fatalf("llama.cpp has no %s", name)
	return m, 0
}

// importance lets the model read a text, and gives the matrix as both programs take it.
func importanceOf(t *testing.T, path string) (*convert.Importance, string) {
	t.Helper()
	const context, chunks = 256, 100
	o, tok := openOurs(t, path), readTokenizer(t, path)
	c, err := calibrate.New(o.model, context, false)
	if err != nil {
		t.Fatal(err)
	}
	text := string(gunzip(t, demoData+"conversations.txt.gz"))
	for _, chunk := range calibrate.Chunks(tok.Encode(text, true), context, tok.BOS())[:chunks] {
		if err := c.Read(chunk); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	matrix := filepath.Join(t.TempDir(), "imatrix.gguf")
	if err := c.Sums().WriteFile(matrix); err != nil {
		t.Fatal(err)
	}
	matrix = withoutZeros(t, matrix)
	ours, err := convert.ReadImportance(matrix)
	if err != nil {
		t.Fatal(err)
	}
	return ours, forLlama(t, matrix)
}

// withoutZeros gives the columns that were put in the mean importance of their matrix: one of zero for a whole block
// is nothing that a model has.
func withoutZeros(t *testing.T, matrix string) string {
	t.Helper()
	return changed(t, matrix, nil, func(x gguf.Tensor) (quant.Type, []byte) {
		if !strings.HasSuffix(x.Name, ".in_sum2") {
			return x.Type, x.Data
		}
		v := make([]float32, x.Elems())
		if err := quant.Unpack(x.Type, v, x.Data); err != nil {
			t.Fatal(err)
		}
		mean := float32(0)
		for _, w := range v {
			mean += w / float32(len(v))
		}
		for i := range v {
			if v[i] == 0 {
				v[i] = mean
			}
		}
		b := make([]byte, len(x.Data))
		if err := quant.Pack(x.Type, b, v); err != nil {
			t.Fatal(err)
		}
		return x.Type, b
	}, nil)
}

// forLlama writes the means of a matrix for quantize.mjs.
func forLlama(t *testing.T, matrix string) string {
	t.Helper()
	f, err := gguf.Open(matrix)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var entries [][2]any
	for _, x := range f.Tensors() {
		name, ok := strings.CutSuffix(x.Name, ".in_sum2")
		if !ok {
			continue
		}
		counts, ok := f.Tensor(name + ".counts")
		if !ok {
			t.Fatalf("%s has no counts", name)
		}
		sums, n := make([]float32, x.Elems()), make([]float32, counts.Elems())
		if err := errors.Join(quant.Unpack(x.Type, sums, x.Data),
			quant.Unpack(counts.Type, n, counts.Data)); err != nil {
			t.Fatal(err)
		}
		for i := range sums {
			sums[i] /= n[i/(len(sums)/len(n))]
		}
		entries = append(entries, [2]any{name, sums})
	}
	b, err := json.Marshal(entries)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "importance.json")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// quantised writes the model with its layers in a format; embedding and output stay as they are in edges.
func quantised(t *testing.T, source, edges string, o convert.Options) string {
	t.Helper()
	s, err := convert.Open(source)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "pure.gguf")
	_, err = convert.Run(t.Context(), s, path, o)
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	if edges == "" {
		return path
	}
	f, err := gguf.Open(edges)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return changed(t, path, nil, func(x gguf.Tensor) (quant.Type, []byte) {
		if x.Name == "token_embd.weight" || x.Name == "output.weight" {
			x, _ = f.Tensor(x.Name)
		}
		return x.Type, x.Data
	}, nil)
}

// measured is what a file's predictions are like.
type measured struct {
	here, there float64 // perplexity, in llama.cpp too
	divergence  float64 // here, from the original
}

func (m measured) String() string {
	return fmt.Sprintf("%.4f | %.4f | %.5f", m.here, m.there, m.divergence)
}

// TestWideDemo: the widened demo model computes what the demo model does.
func TestWideDemo(t *testing.T) {
	data, _ := demo.Model()
	path := filepath.Join(t.TempDir(), "demo.gguf")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	plain := changed(t, path, nil, func(x gguf.Tensor) (quant.Type, []byte) {
		v, b := make([]float32, x.Elems()), make([]byte, 4*x.Elems())
		if err := errors.Join(quant.Unpack(x.Type, v, x.Data), quant.Pack(quant.F32, b, v)); err != nil {
			t.Fatal(err)
		}
		return quant.F32, b
	}, nil)
	tokens := readTokenizer(t, path).Encode(prompt, true)
	want := openOurs(t, plain).forward(t, tokens, 0, len(tokens))
	if l := compareRows(t, want, openOurs(t, wideDemo(t)).forward(t, tokens, 0, len(tokens))); l.rms > 1e-3 {
		t.Errorf("relative rms %.3g, want ≤ 1e-3", l.rms)
	}
}

// TestPerplexityOfFormats: what each format makes of a trained model, in files of both programs, read by both. The
// table of docs/MODELS.md is made by -update.
func TestPerplexityOfFormats(t *testing.T) {
	source := wideDemo(t)
	tok, llama := readTokenizer(t, source), startLibrary(t)
	all := heldOut(t, tok)
	original := openOurs(t, source).predict(t, all)
	measure := func(path string) (m measured) {
		m.here, m.divergence = score(all, original, openOurs(t, path).predict(t, all))
		m.there = llama.perplexity(t, path, all)
		return m
	}
	importance, forLlama := importanceOf(t, source)
	eight, _ := pureMix(t, quant.Q8_0)
	edges := quantised(t, source, "", convert.Options{Mix: eight})
	var table strings.Builder
	for _, typ := range quant.Types() {
		mix, n := pureMix(t, typ)
		to, own := filepath.Join(t.TempDir(), "theirs.gguf"), "| |"
		llama.ask(t, libraryCall{Op: "quantize", From: source, To: to, Type: n, Pure: true, Importance: forLlama,
			Edges: int(quant.Q8_0)})
		theirs := measure(to)
		if typ.Writable() {
			ours := measure(quantised(t, source, edges, convert.Options{Mix: mix, Importance: importance}))
			check(t, typ, ours)
			if ours.divergence > 1.25*theirs.divergence+2e-4 {
				t.Errorf("%v: divergence %.5f, of llama-quantize's file %.5f", typ, ours.divergence, theirs.divergence)
			}
			own = ours.String()
		}
		check(t, typ, theirs)
		line := fmt.Sprintf("| %v | %.2f | %s | %v |\n", typ, typ.BitsPerWeight(), own, theirs)
		t.Log(strings.TrimSpace(line))
		table.WriteString(line)
	}
	t.Logf("%d conversations, %d tokens of answers", len(all), len(original))
	inDocs(t, table.String())
}

// check: both programs read the same from a file, but for how they round activations.
func check(t *testing.T, typ quant.Type, m measured) {
	t.Helper()
	if d := math.Abs(math.Log(m.here / m.there)); !(d < 2e-3*(1+2*m.divergence)) {
		t.Errorf("%v: perplexity %.4f, llama.cpp has %.4f", typ, m.here, m.there)
	}
}

const tableHead = "| | bits | file of `quantize`: perplexity | in llama.cpp | divergence " +
	"| file of `llama-quantize`" + `: perplexity | in llama.cpp | divergence |
|---|---|---|---|---|---|---|---|
`

// inDocs writes the table into docs/MODELS.md with -update, and otherwise looks that it is there: its figures may
// differ from machine to machine, its formats may not.
func inDocs(t *testing.T, table string) {
	t.Helper()
	const path = "../../docs/MODELS.md"
	docs, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(docs), tableHead)
	if !ok {
		t.Fatalf("%s has no table %q", path, tableHead)
	}
	old, after, _ := strings.Cut(rest, "\n\n")
	if *update {
		if err := os.WriteFile(path, []byte(before+tableHead+table+"\n"+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	names := func(table string) (all []string) {
		for line := range strings.Lines(strings.TrimSpace(table)) {
			all = append(all, strings.Fields(line)[1])
		}
		return all
	}
	if !slices.Equal(names(old), names(table)) {
		t.Errorf("%s has the formats %v, want %v; -update writes them", path, names(old), names(table))
	}
}
