package demo_test

import (
	"compress/gzip"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/kernel"
	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
	"github.com/hxp-enterprise/mixtral/internal/model/calibrate"
	"github.com/hxp-enterprise/mixtral/internal/model/convert"
	"github.com/hxp-enterprise/mixtral/models/demo"
)

// conversation is a held-out one; its answer begins at token from.
type conversation struct {
	tokens []int32
	from   int
}

func conversations(t *testing.T, l *loaded) []conversation {
	t.Helper()
	var all []conversation
	for _, s := range readVectors(t).Sequences {
		all = append(all, conversation{s.Tokens, len(s.Tokens) - len(l.tok.Encode(s.Answer, false)) - 1}) // and EOS
	}
	return all
}

// answers gives the log-probabilities that a model has for each token of the answers.
func answers(t *testing.T, m *moe.Model, all []conversation) [][]float64 {
	t.Helper()
	blocks := make([]int32, room/kernel.BlockTokens)
	for i := range blocks {
		blocks[i] = int32(i)
	}
	kv := m.NewStorage(len(blocks))
	var out [][]float64
	for _, c := range all {
		// the last token of the question predicts the answer's first one, and what EOS predicts is not asked for
		rows, err := m.Forward(kv, []moe.Span{{Tokens: c.tokens, Blocks: blocks, Logits: len(c.tokens) - c.from + 1}})
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows[:len(rows)-1] {
			out = append(out, logSoftmax(row))
		}
	}
	return out
}

// away is how far a model is from the original on the answers, in nats a token: the Kullback-Leibler divergence of
// its predictions, and what its loss is above the original's. The first one does not depend on which of the possible
// tokens the text happens to have, so it tells small differences.
func away(all []conversation, original, model [][]float64) (divergence, worse float64) {
	n := 0
	for _, c := range all {
		for _, id := range c.tokens[c.from:] {
			for i, p := range original[n] {
				divergence += math.Exp(p) * (p - model[n][i])
			}
			worse += original[n][id] - model[n][id]
			n++
		}
	}
	return divergence / float64(n), worse / float64(n)
}

// collectImportance lets the model read a text, as "mixtral model imatrix demo --context 256" does.
func collectImportance(t *testing.T, l *loaded, path string) *convert.Importance {
	t.Helper()
	const context = 256
	var text []byte
	readGzip(t, "testdata/conversations.txt.gz", func(z *gzip.Reader) (err error) {
		text,
			err = io.ReadAll(z)
		return err
	})
	c, err := calibrate.New(l.model, context, false)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, chunk := range calibrate.Chunks(l.tok.Encode(string(text), true), context, l.tok.BOS()) {
		if err := c.Read(chunk); err != nil {
			t.Fatal(err)
		}
	}
	p, e := c.Loss().Perplexity()
	t.Logf("%d chunks of %d tokens, perplexity %.4f ± %.4f", c.Sums().Chunks, context, p, e)
	if gaps := c.Sums().Unseen(); gaps != nil {
		t.Errorf("experts that no token went to: %v", gaps)
	}
	if err := c.Sums().WriteFile(path); err != nil {
		t.Fatal(err)
	}
	m, err := convert.ReadImportance(path)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// quantised gives the log-probabilities of the model in another format.
func quantised(t *testing.T, in string, o convert.Options, all []conversation) [][]float64 {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out.gguf")
	source, err := convert.Open(in)
	if err != nil {
		t.Fatal(err)
	}
	_, err = convert.Run(t.Context(), source, out, o)
	if err = errors.Join(err, source.Close()); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := moe.Load(f, moe.Options{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	return answers(t, m, all)
}

// TestImportanceHelps: with an importance matrix of conversations that the model was trained on, its quantised forms
// stay nearer to it on conversations that it was not. Single formats gain or lose by chance, since rounding is; over
// all the matrix must help.
func TestImportanceHelps(t *testing.T) {
	l := load(t)
	all := conversations(t, l)
	original := answers(t, l.model, all)
	data, _ := demo.Model()
	in := filepath.Join(t.TempDir(), "demo.gguf")
	if err := os.WriteFile(in, data, 0o600); err != nil {
		t.Fatal(err)
	}
	importance := collectImportance(t, l, filepath.Join(t.TempDir(), "imatrix.gguf"))
	sum, n := 0.0, 0
	for _, c := range []struct {
		name string
		pure bool
	}{{"q2_k", true}, {"q3_k", true}, {"q2_k", false}, {"q3_k_m", false}, {"q4_0", false}, {"q4_k_m", false},
		{"q5_0", false}} {
		mix, err := convert.ParseMix(c.name)
		if err != nil {
			t.Fatal(err)
		}
		mix.Pure = c.pure
		plain, plainLoss := away(all, original, quantised(t, in, convert.Options{Mix: mix}, all))
		with, withLoss := away(all, original, quantised(t, in, convert.Options{Mix: mix, Importance: importance}, all))
		t.Logf("%-6s pure %-5v divergence %.5f, with importance %.5f (× %.3f); loss %+.5f, with %+.5f", c.name,
			c.pure, plain, with, with/plain, plainLoss, withLoss)
		sum, n = sum+math.Log(with/plain), n+1
	}
	mean := math.Exp(sum / float64(n))
	t.Logf("%d tokens of answers; divergence × %.3f in the geometric mean", len(original), mean)
	if !(mean < 1) {
		t.Errorf("divergence × %.3f: importance does not help", mean)
	}
}
