// Package compare holds the engine and the tokenizer against llama.cpp and against Mistral's published vocabulary.
// Its tests need Node and the packages of package-lock.json; they run under `make compare`, which sets
// MIXTRAL_COMPARE.
package compare

import (
	"bufio"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/token"
	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

func TestMain(m *testing.M) {
	if os.Getenv("MIXTRAL_COMPARE") == "" {
		fmt.Println("MIXTRAL_COMPARE is not set: nothing is compared; see make compare")
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// process answers each line of JSON with one.
type process struct {
	in  io.WriteCloser
	out *bufio.Reader
}

// start runs a script of this folder; it ends with the test.
func start(t *testing.T, args ...string) process {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", args...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil && t.Context().Err() == nil {
			t.Errorf("node %s: %v", args[0], err)
		}
	})
	return process{in, bufio.NewReader(out)}
}

func (p process) ask(t *testing.T, question, answer any) {
	t.Helper()
	if err := json.NewEncoder(p.in).Encode(question); err != nil {
		t.Fatal(err)
	}
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		t.Fatalf("llama.cpp gave no answer to %.200v", question)
	}
	if err := json.Unmarshal(line, answer); err != nil {
		t.Fatalf("%v in %.200q", err, line)
	}
}

// oracle is llama.cpp with one model loaded.
type oracle struct{ process }

type question struct {
	Op     string  `json:"op"`
	Text   string  `json:"text"`
	Tokens []int32 `json:"tokens,omitempty"`
	N      int     `json:"n,omitempty"`
}

type reply struct {
	IDs    []int32 `json:"ids"`
	Logits string  `json:"logits"`
	Error  string  `json:"error"`
}

// startOracle loads the file at path; the process ends with the test.
func startOracle(t *testing.T, path string) *oracle {
	t.Helper()
	return &oracle{start(t, "oracle.mjs", path)}
}

func (o *oracle) ask(t *testing.T, q question) reply {
	t.Helper()
	var r reply
	o.process.ask(t, q, &r)
	if r.Error != "" {
		t.Fatalf("llama.cpp, %s: %s", q.Op, r.Error)
	}
	return r
}

func (o *oracle) tokenize(t *testing.T, text string) []int32 {
	return o.ask(t, question{Op: "tokenize", Text: text}).IDs
}

func (o *oracle) greedy(t *testing.T, tokens []int32, n int) []int32 {
	return o.ask(t, question{Op: "greedy", Tokens: tokens, N: n}).IDs
}

// logits gives a row for each token: the logits after it.
func (o *oracle) logits(t *testing.T, tokens []int32) [][]float32 {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(o.ask(t, question{Op: "logits", Tokens: tokens}).Logits)
	if err != nil || len(raw)%(4*len(tokens)) != 0 {
		t.Fatalf("%d bytes of logits for %d tokens: %v", len(raw), len(tokens), err)
	}
	vocab := len(raw) / 4 / len(tokens)
	rows := make([][]float32, len(tokens))
	for i := range rows {
		rows[i] = make([]float32, vocab)
		for j := range rows[i] {
			rows[i][j] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*(i*vocab+j):]))
		}
	}
	return rows
}

// writeModel makes the file of a shape.
func writeModel(t *testing.T, s synth.Shape) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.gguf")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := synth.Write(f, s); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// readTokenizer reads a file's vocabulary by its keys.
func readTokenizer(t *testing.T, path string) *token.Tokenizer {
	t.Helper()
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	spec, err := readSpec(f)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := token.New(spec)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func readSpec(f *gguf.File) (s token.Spec, err error) {
	if s.Pieces, err = f.Strings("tokenizer.ggml.tokens"); err != nil {
		return s, err
	}
	for i, p := range s.Pieces {
		s.Pieces[i] = strings.Clone(p) // the file's bytes may go before the tokenizer
	}
	if s.Scores, err = f.Float32s("tokenizer.ggml.scores"); err != nil {
		return s, err
	}
	if s.Types, err = f.Int32s("tokenizer.ggml.token_type"); err != nil {
		return s, err
	}
	s.BOS = int32(f.Uint32Or("tokenizer.ggml.bos_token_id", 1))
	s.EOS = int32(f.Uint32Or("tokenizer.ggml.eos_token_id", 2))
	s.UNK = int32(f.Uint32Or("tokenizer.ggml.unknown_token_id", 0))
	s.AddBOS = f.BoolOr("tokenizer.ggml.add_bos_token", true)
	s.AddSpacePrefix = f.BoolOr("tokenizer.ggml.add_space_prefix", true)
	s.Template = f.StringOr("tokenizer.chat_template", "")
	return s, nil
}
