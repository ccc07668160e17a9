package service

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// brokenTokens are those of brokenModel whose embeddings are not numbers: NaN, and infinite.
var brokenTokens = []int{9, 10}

// brokenModel writes a model with a few broken weights, as a bad disk or a bad conversion makes them.
func brokenModel(t *testing.T) (path string) {
	t.Helper()
	data, err := synth.Bytes(synth.Tiny())
	if err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	x, ok := f.Tensor("token_embd.weight")
	if !ok || x.Type != quant.Q8_0 { // blocks that begin with a binary16 scale
		t.Fatalf("embeddings of type %v", x.Type)
	}
	row := len(x.Data) / synth.Tiny().Vocab
	for i, bits := range [][2]byte{{0xff, 0xff}, {0x00, 0x7c}} { // NaN, +Inf
		at := x.Data[brokenTokens[i]*row:]
		for k := 0; k < row; k += x.Type.BlockBytes() {
			at[k], at[k+1] = bits[0], bits[1]
		}
	}
	path = filepath.Join(t.TempDir(), "broken.gguf")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestBrokenWeights: a request that uses weights which are not numbers gets its own error, with a code and a metric.
// Requests in the same steps get the same answers as alone.
func TestBrokenWeights(t *testing.T) {
	s := openTiny(t, func(c *Options) { c.ModelPath = brokenModel(t) })
	post := func(body string) (int, string) {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest("POST", "/v1/completions", strings.NewReader(body)))
		return w.Code, w.Body.String()
	}
	const good = `{"prompt":[1,20,30],"max_tokens":20,"temperature":0,"ignore_eos":true}`
	text := func(answer string) string { // without ids and times
		_, rest, _ := strings.Cut(answer, `"choices"`)
		return rest
	}
	code, want := post(good)
	if code != http.StatusOK {
		t.Fatalf("%d %s", code, want)
	}
	const rounds = 4
	var group sync.WaitGroup
	for i := range rounds {
		group.Go(func() {
			if code, got := post(good); code != http.StatusOK || text(got) != text(want) {
				t.Errorf("beside broken weights: %d %s, alone %s", code, got, want)
			}
		})
		for _, token := range brokenTokens {
			group.Go(func() {
				stream := i%2 == 0
				if code, got := post(fmt.Sprintf(`{"prompt":[1,%d,30],"max_tokens":20,"temperature":0,"stream":%v}`,
					token, stream)); !saysBroken(code, got, stream) {
					t.Errorf("token %d: %d %s", token, code, got)
				}
			})
		}
	}
	group.Wait()
	awaitIdle(t, s)
	counts, failed := chaosMetrics(t, s), float64(rounds*len(brokenTokens))
	if counts["mixtral_non_finite_logits_total"] != failed ||
		counts[`mixtral_requests_total{finish_reason="error"}`] != failed || counts["mixtral_panics_total"] != 0 {
		t.Errorf("%v", counts)
	}
}
