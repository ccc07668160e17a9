package compare

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

var update = flag.Bool("update", false, "write mixes.txt and the table of docs/MODELS.md anew")

// fileTypes are llama.cpp's names of mixes by llama_ftype: those that it makes of a Mixtral.
var fileTypes = map[int]string{0: "f32", 1: "f16", 2: "q4_0", 3: "q4_1", 7: "q8_0", 8: "q5_0", 9: "q5_1", 10: "q2_k",
	11: "q3_k_s", 12: "q3_k_m", 13: "q3_k_l", 14: "q4_k_s", 15: "q4_k_m", 16: "q5_k_s", 17: "q5_k_m", 18: "q6_k",
	19: "iq2_xxs", 20: "iq2_xs", 21: "q2_k_s", 22: "iq3_xs", 23: "iq3_xxs", 24: "iq1_s", 25: "iq4_nl", 26: "iq3_s",
	27: "iq3_m", 28: "iq2_s", 29: "iq2_m", 30: "iq4_xs", 31: "iq1_m", 32: "bf16"}

// mixShape is what the rules of mixes look at.
type mixShape struct {
	experts, layers, heads, kvHeads, width, ffn int
	tied                                        bool
}

var mixShapes = []mixShape{
	{8, 32, 8, 2, 256, 512, false},  // 8x7B, in width alone smaller
	{8, 56, 6, 1, 768, 1024, false}, // 8x22B
	{8, 5, 6, 2, 192, 256, false},   // the demo model
	{8, 27, 4, 4, 256, 256, true},   // heads that share no keys, one matrix for embedding and output
	{8, 9, 2, 1, 40, 96, false},     // rows that no format divides
	{4, 20, 8, 4, 256, 256, false},  // merges of several models: 4x7B and so on
	{4, 20, 8, 2, 256, 256, true},   //
	{2, 32, 8, 2, 256, 512, false},  //
	{16, 36, 8, 8, 256, 256, false}, //
	{4, 80, 8, 1, 256, 256, false},  // 4x70B
	{2, 80, 8, 8, 256, 256, false},  // 2x65B
	{3, 48, 8, 1, 320, 480, false},  // rows of which some formats are divisors
}

// write makes a file of the shape in F16, without weights: it takes next to no room.
func (s mixShape) write(t *testing.T) string {
	t.Helper()
	var failed error
	do := func(err error) { failed = cmp.Or(failed, err) }
	w := gguf.NewWriter(&bytes.Buffer{})
	for key, value := range map[string]any{"general.architecture": "llama", "general.name": "mixes",
		"llama.block_count": uint32(s.layers), "llama.context_length": uint32(512),
		"llama.embedding_length": uint32(s.width), "llama.feed_forward_length": uint32(s.ffn),
		"llama.attention.head_count": uint32(s.heads), "llama.attention.head_count_kv": uint32(s.kvHeads),
		"llama.attention.layer_norm_rms_epsilon": float32(1e-5), "llama.expert_count": uint32(s.experts),
		"llama.expert_used_count": uint32(2), "llama.vocab_size": uint32(64)} {
		do(w.Set(key, value))
	}
	keys := s.width / s.heads * s.kvHeads
	do(w.Add("token_embd.weight", quant.F16, s.width, 64))
	do(w.Add("output_norm.weight", quant.F32, s.width))
	if !s.tied {
		do(w.Add("output.weight", quant.F16, s.width, 64))
	}
	for layer := range s.layers {
		add := func(stem string, typ quant.Type, dims ...int) {
			do(w.Add(fmt.Sprintf("blk.%d.%s.weight", layer, stem), typ, dims...))
		}
		add("attn_norm", quant.F32, s.width)
		add("ffn_norm", quant.F32, s.width)
		add("ffn_gate_inp", quant.F32, s.width, s.experts)
		add("attn_q", quant.F16, s.width, s.width)
		add("attn_k", quant.F16, s.width, keys)
		add("attn_v", quant.F16, s.width, keys)
		add("attn_output", quant.F16, s.width, s.width)
		add("ffn_gate_exps", quant.F16, s.width, s.ffn, s.experts)
		add("ffn_up_exps", quant.F16, s.width, s.ffn, s.experts)
		add("ffn_down_exps", quant.F16, s.ffn, s.width, s.experts)
	}
	header, _ := w.Layout()
	path := filepath.Join(t.TempDir(), "mixes.gguf")
	do(os.WriteFile(path, header, 0o600))
	do(os.Truncate(path, w.Size()))
	if failed != nil {
		t.Fatal(failed)
	}
	return path
}

// mixes.txt says what llama-quantize makes of each shape, a line for each mix with and without an importance matrix.
const mixesFile = "../../internal/model/convert/testdata/mixes.txt"

const mixesHead = `# The formats that llama-quantize (llama.cpp v0.5.0, --dry-run) chooses for each tensor of a Mixtral in F16.
# Made by "MIXTRAL_COMPARE=1 go test ./compare -run TestMixesAreLlamas -update" in test/, after "make compare".
# A line: experts, layers, heads, KV heads, width, FFN; whether output.weight is the embedding (tied); the mix; whether
# there is an importance matrix (weighted, plain, or any: it changes nothing), or the option --pure; then the matrices,
# with one format for all layers, or with FORMAT*LAYERS for one layer after the other. Norms and routers are F32.
`

// TestMixesAreLlamas: mixes.txt, which package convert's tests hold its mixes against, is what llama.cpp does.
func TestMixesAreLlamas(t *testing.T) {
	q := startLibrary(t)
	text := strings.Builder{}
	text.WriteString(mixesHead)
	for _, s := range mixShapes {
		path := s.write(t)
		for _, n := range slices.Sorted(maps.Keys(fileTypes)) {
			types := func(change libraryCall) string { return s.describe(q.types(t, path, n, change)) }
			plain, weighted := types(libraryCall{}), types(libraryCall{Weighted: true})
			line := func(matrix, types string) {
				tied := map[bool]string{true: "tied", false: "own"}[s.tied]
				fmt.Fprintln(&text, s.experts, s.layers, s.heads, s.kvHeads, s.width, s.ffn, tied, fileTypes[n],
					matrix, types)
			}
			if plain == weighted {
				line("any", plain)
			} else {
				line("plain", plain)
				line("weighted", weighted)
			}
			if s.width%256 != 0 {
				line("pure", types(libraryCall{Pure: true}))
			}
		}
	}
	if *update {
		if err := os.WriteFile(mixesFile, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(mixesFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != text.String() {
		t.Errorf("%s is not what llama.cpp chooses now; -update writes it", mixesFile)
	}
	t.Logf("%d mixes of %d shapes", 2*len(fileTypes), len(mixShapes))
}

var blockName = regexp.MustCompile(`^blk\.\d+\.(\w+)\.weight$`)

// describe gives the formats of all matrices, those of each kind together.
func (s mixShape) describe(types map[string]string) string {
	stems := []string{"token_embd", "output", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate_exps",
		"ffn_up_exps", "ffn_down_exps"}
	for name := range types {
		if m := blockName.FindStringSubmatch(name); m != nil && !slices.Contains(stems, m[1]) {
			stems = append(stems, m[1]) // whatever else would be quantised shows in the file
		}
	}
	var all []string
	for i, stem := range stems {
		if s.tied && stem == "output" {
			continue
		}
		var runs []string
		last, count := "", 0
		flush := func() {
			switch {
			case count > 0 && (count == s.layers || i < 2):
				runs = append(runs, last)
			case count > 0:
				runs = append(runs, fmt.Sprintf("%s*%d", last, count))
			}
		}
		for layer := range s.layers {
			name := stem + ".weight"
			if i > 1 {
				name = fmt.Sprintf("blk.%d.%s.weight", layer, stem)
			} else if layer > 0 {
				break
			}
			typ := cmp.Or(strings.ToLower(types[name]), "f16")
			if typ != last {
				flush()
				last, count = typ, 0
			}
			count++
		}
		flush()
		all = append(all, stem+"="+strings.Join(runs, ","))
	}
	return strings.Join(all, " ")
}

// library is llama.cpp's own, for what oracle.mjs has no function for.
type library struct{ process }

// libraryCall is a request to llama.mjs.
type libraryCall struct {
	Op         string `json:"op"`
	From       string `json:"from"`
	To         string `json:"to,omitempty"`
	Type       int    `json:"type"`
	Pure       bool   `json:"pure,omitempty"`
	Weighted   bool   `json:"weighted,omitempty"`
	Importance string `json:"importance,omitempty"`
	Edges      int    `json:"edges,omitempty"`
	Texts      []text `json:"texts,omitempty"`
	Text       string `json:"text,omitempty"`
	Special    bool   `json:"special,omitempty"`
}

// text is one whose tokens from Begin on count.
type text struct {
	Tokens []int32 `json:"tokens"`
	Begin  int     `json:"begin"`
}

type libraryReply struct {
	Types map[string]string `json:"types"`
	Loss  float64           `json:"loss"`
	IDs   []int32           `json:"ids"`
	Error string            `json:"error"`
}

func startLibrary(t *testing.T) *library {
	t.Helper()
	return &library{start(t, "llama.mjs")}
}

func (l *library) ask(t *testing.T, call libraryCall) (r libraryReply) {
	t.Helper()
	l.process.ask(t, call, &r)
	if r.Error != "" {
		t.Fatalf("llama.cpp, %s %s: %s", call.Op, fileTypes[call.Type], r.Error)
	}
	return r
}

func (l *library) types(t *testing.T, path string, n int, change libraryCall) map[string]string {
	t.Helper()
	change.Op, change.From, change.Type = "types", path, n
	return l.ask(t, change).Types
}
