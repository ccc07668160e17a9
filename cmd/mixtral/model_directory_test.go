package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/model/convert/hftest"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// weights makes a directory of safetensors.
func weights(t *testing.T, shape synth.Shape) string {
	t.Helper()
	data, err := synth.Bytes(shape)
	if err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "mixtral-8x7b")
	if err := errors.Join(os.Mkdir(dir, 0o755), hftest.Write(dir, f, hftest.Options{DType: "BF16",
		Shards: 2})); err != nil {
		t.Fatal(err)
	}
	return dir
}

// inside runs a command in this process.
func inside(t *testing.T, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(&app{ctx: t.Context(), stdout: &out, stderr: &errs, getenv: os.Getenv}, args)
	return result{code, out.String(), errs.String()}
}

// TestDirectoryEverywhere: every command that takes a model accepts a directory of safetensors, which is converted
// once.
func TestDirectoryEverywhere(t *testing.T) {
	dir, cache, out := weights(t, synth.Tiny()), t.TempDir(), t.TempDir()
	t.Setenv("MIXTRAL_CACHE_DIR", cache)
	t.Setenv("MIXTRAL_QUANTIZE_TO", "")
	t.Setenv("MIXTRAL_DATABASE_URL", "none")
	tc := filepath.Join(out, "case.yaml")
	if err := os.WriteFile(tc, []byte(killCase), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := inside(t, "model", "inspect", dir); r.code != exitOK || !strings.Contains(r.stdout,
		"format         q8_0") ||
		len(glob(t, cache, "*")) > 0 {
		t.Errorf("inspect converts, or does not say to what: %v", r)
	}
	for _, c := range []struct {
		want string
		args []string
	}{
		{"self-test", []string{"model", "verify", dir}},
		{"", []string{"run", "--model", dir, "--max-tokens", "4", "hello"}},
		{"greedy", []string{"eval", "--model", dir, "--tokens", "1,2", "--generate", "2"}},
		{"generate_tps", []string{"bench", "--model", dir, "--prompt", "8", "--generate", "4",
			"--parallel", "1", "--repeat",
			"1", "--json"}},
		{"packed", []string{"model", "pack", dir, filepath.Join(out, "packed.gguf")}},
		{"parameters in q4_k_m", []string{"model", "quantize", dir, "--type", "q4_k_m", "--out", filepath.Join(out,
			"q.gguf")}},
	} {
		if r := inside(t, c.args...); r.code != exitOK || !strings.Contains(r.stdout, c.want) || r.stdout == "" {
			t.Errorf("%v: %v", c.args, r)
		}
	}
	if r := inside(t, "certify", tc, "--in-process", "--model", dir, "--report-dir", out); !isVerdict(r.code) ||
		!strings.Contains(r.stdout, "TC-KILL") {
		t.Errorf("certify: %v", r)
	}
	models := glob(t, cache, "converted/*.gguf")
	if len(models) != 1 {
		t.Fatalf("in the cache: %v", models)
	}
	traceable(t, dir, models[0], glob(t, out, "*.json"))
	// If a directory has a GGUF file, quantize reads that file.
	one := filepath.Join(t.TempDir(), "one")
	if err := errors.Join(os.Mkdir(one, 0o755), os.Rename(filepath.Join(out, "q.gguf"), filepath.Join(one,
		"q.gguf"))); err != nil {
		t.Fatal(err)
	}
	if r := inside(t, "model", "quantize", one, "--type", "keep", "--out", filepath.Join(out,
		"k.gguf")); r.code != exitOK {
		t.Errorf("%v", r)
	}
}

// traceable compares the hashes that verify and a report give for a converted model with the files: its own hash, and
// those of the sources as sha256sum prints them.
func traceable(t *testing.T, dir, file string, reports []string) {
	t.Helper()
	sum := func(data []byte) string { return fmt.Sprintf("%x", sha256.Sum256(data)) }
	read := func(path string) []byte {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	var lines strings.Builder
	for _, path := range glob(t, dir, "*") { // by name
		fmt.Fprintf(&lines, "%s  %s\n", sum(read(path)), filepath.Base(path))
	}
	of, all := sum(read(file)), sum([]byte(lines.String()))
	text := inside(t, "model", "verify", "--no-run", dir).stdout
	if !strings.Contains(text, "sha256 "+of+"\n") || !strings.Contains(text, "sources sha256 "+all+"\n") ||
		!strings.Contains(strings.ReplaceAll(text, "\n  ", "\n"), lines.String()) || !strings.Contains(text, file) {
		t.Errorf("verify says\n%s\nThe file is %s, the sources are %s:\n%s", text, of, all, lines.String())
	}
	var v struct {
		SHA256    string
		Converted struct {
			From, File string
			Sources    []struct{ Name, SHA256 string }
			All        string `json:"sources_sha256"`
		}
	}
	if err := json.Unmarshal([]byte(inside(t, "model", "verify", "--no-run", "--json", dir).stdout),
		&v); err != nil || v.SHA256 != of || v.Converted.All != all || v.Converted.From != dir ||
		v.Converted.File != file || len(v.Converted.Sources) != strings.Count(lines.String(), "\n") {
		t.Errorf("verify --json says %+v, %v", v, err)
	}
	if len(reports) != 1 || !bytes.Contains(read(reports[0]), []byte(`"model_sources_sha256": "`+all+`"`)) ||
		!bytes.Contains(read(reports[0]), []byte(`"model_sha256": "`+of+`"`)) {
		t.Errorf("reports %v: want model_sha256 %s and model_sources_sha256 %s", reports, of, all)
	}
}

// TestRefusedFormats: every command names a format that is not supported in a sentence of its own, with an
// alternative; an existing file is never "no such model".
func TestRefusedFormats(t *testing.T) {
	t.Setenv("MIXTRAL_CACHE_DIR", t.TempDir())
	root := t.TempDir()
	write := func(path, text string) string {
		path = filepath.Join(root, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path,
			[]byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	dir := func(name string, files ...string) string {
		for i := 0; i < len(files); i += 2 {
			write(filepath.Join(name, files[i]), files[i+1])
		}
		return filepath.Join(root, name)
	}
	config := func(method string) string { return `{"quantization_config":{"quant_method":"` + method + `"}}` }
	const shard = "model-00001-of-00002.safetensors"
	const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
	for path, want := range map[string]string{
		dir("gptq", "config.json", config("gptq"), shard, "x"):                     "quantised with GPTQ",
		dir("awq", "config.json", config("awq"), shard, "x"):                       "quantised with AWQ",
		dir("fp8", "config.json", config("fp8"), shard, "x"):                       "quantised with FP8",
		dir("old-gptq", "config.json", "{}", "quantize_config.json", "{}"):         "quantised with GPTQ",
		dir("bnb", "config.json", `{"quantization_config":{"load_in_4bit":true}}`): "quantised with bitsandbytes",
		dir("mlx", "config.json", `{"quantization":{"bits":4}}`, shard, "x"):       "quantised with MLX",
		dir("pth", "consolidated.00.pth", "x", "params.json", "{}"):                "consolidated weights",
		dir("cons", "consolidated.safetensors", "x", "tekken.json", "{}"):          "consolidated weights",
		dir("bin", "pytorch_model-00001-of-00019.bin", "x", "config.json", "{}"):   "PyTorch pickles",
		dir("tekken", "tekken.json", "{}", "config.json", "{}", shard, "x"):        "Tekken",
		dir("lora", "adapter_config.json", "{}", "adapter_model.safetensors", ""):  "LoRA adapter",
		dir("lfs", "config.json", "{}", shard, pointer):                            "Git LFS pointer",
		dir("onnx", "model.onnx", "x"):                                             "ONNX",
		dir("part", "m.gguf.part", "x"):                                            "holds no model",
		dir("none", "config.json", "{}", shard, "x"):                               `model_type must be "mixtral", got ""`,
		write("one.safetensors", "x"):                                              "weights alone are not a model",
		write("pytorch_model.bin", "x"):                                            "PyTorch pickle",
		write("consolidated.00.pth", "x"):                                          "consolidated weights",
		write("tekken.json", "{}"):                                                 "Tekken",
		write("config.json", "{}"):                                                 "smaller files",
		write("lfs.gguf", pointer):                                                 "Git LFS pointer",
		write("page.gguf", "<!DOCTYPE html>"):                                      "web page",
		write("old.gguf", "tjgg\x03\x00\x00\x00"):                                  "GGML format",
		write("m.gguf.part", "GGUF"):                                               "unfinished file",
		write("m.zip", "PK\x03\x04"):                                               "archive",
		write("text.gguf", "hello"):                                                `does not start with "GGUF"`,
	} {
		for _, args := range [][]string{
			{"model", "inspect", path}, {"model", "verify", path}, {"run", "--model", path, "x"},
			{"serve", "--port", "0", "--model", path}, {"bench", "--model", path},
			{"eval", "--model", path, "--tokens", "1"}, {"certify", "--model", path, "--report-dir", root},
			{"model", "pack", path, filepath.Join(root, "out.gguf")},
			{"model", "quantize", path, "--type", "q8_0", "--out", filepath.Join(root, "out.gguf")},
		} {
			if strings.HasSuffix(path, "part") && args[1] == "quantize" && filepath.Ext(path) == "" {
				continue // an empty directory has no configuration for it
			}
			r := inside(t, args...)
			if r.code != exitUsage && r.code != exitSetup || !strings.Contains(r.stderr, want) {
				t.Errorf("%v: want %q: %v", args, want, r)
			}
			hint := strings.Contains(r.stderr, "\nhint: ")
			if wantHint := !strings.Contains(want, "model_type") && !strings.Contains(want,
				"does not start"); wantHint && !hint {
				t.Errorf("%v: no hint: %v", args, r)
			}
			if strings.Contains(r.stderr, "no such model") {
				t.Errorf("%v: it is there: %v", args, r)
			}
		}
	}
}
