package main

import (
	"bufio"
	"bytes"
	le "encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// TestBombs: small files that would become gigabytes in a parser are refused with little memory and time. The first of
// them took 24 GB.
func TestBombs(t *testing.T) {
	program, dir, many := binary(t), t.TempDir(), strings.Repeat
	yaml := map[string]string{
		"deep":     "host: " + many("[", 100_000) + many("]", 100_000),
		"mappings": "host: " + many("{a: ", 20_000) + "1" + many("}", 20_000),
		"dashes":   "host:\n" + many("- ", 20_000) + "x",
		"list":     "host: [" + many("1,", 100_000) + "]",
		"keys":     many("k: 1\n", 100_000),
		"docs":     many("--- 1\n", 50_000),
		"aliases": "a: &a [x" + many(",x", 8) + "]\nb: &b [*a" + many(",*a", 8) + "]\nc: &c [*b" + many(",*b", 8) +
			"]\nd: &d [*c" + many(",*c", 8) + "]\ne: &e [*d" + many(",*d", 8) + "]\nf: [*e" + many(",*e", 8) + "]\n",
		"itself": "host: &a {x: &b {y: *a}}\n",
		"number": "memory_limit_gb: " + many("9", 500_000),
		"large":  "host: " + many("x", 8<<20),
	}
	json := map[string]string{
		"deep":  many("[", 2_000_000) + many("]", 2_000_000),
		"items": `{"prompts":[` + many("{},", 2_000_000) + `{}]}`,
		"large": `{"a":"` + many("x", 65<<20) + `"}`,
	}
	keys := map[string]string{"lines": many("# \n", 200_000), "line": many("x", 1<<20)}
	for kind, files := range map[string]map[string]string{"yaml": yaml, "json": json, "keys": keys} {
		for name, text := range files {
			path := filepath.Join(dir, name+"."+kind)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, args := range map[string][][]string{
				"yaml": {{"serve", "--config", path, "--port", "0"}, {"certify", "--check", path}},
				"json": {{"prompts", "check", path}},
				"keys": {{"serve", "--model", "synth:tiny", "--port", "0", "--api-key-file", path}},
			}[kind] {
				refused(t, filepath.Base(path), program, args)
			}
		}
	}
}

// refused runs a command on a bomb, and expects an error with little memory and time.
func refused(t *testing.T, bomb, program string, args []string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	cmd.Wait()
	timer.Stop()
	used := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	const mib = 1 << 10 // Maxrss is in KiB
	if code := cmd.ProcessState.ExitCode(); code != exitUsage && code != exitSetup || used.Maxrss > 400*mib ||
		strings.Contains(out.String(), "goroutine ") || out.Len() > 4<<10 {
		t.Errorf("%s, %v: exit code %d, %d MiB: %.300s", bomb, args[:2], code, used.Maxrss/mib, out.String())
	}
}

// repeated is a text that is written in pieces, because the memory of this process counts as that of its children.
type repeated struct {
	before, unit string
	times        int
	behind       string
}

func (r repeated) write(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	w.WriteString(r.before)
	for range r.times {
		w.WriteString(r.unit)
	}
	w.WriteString(r.behind)
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// header is a safetensors file that consists of a header.
func (r repeated) header() repeated {
	n := uint64(len(r.before) + len(r.unit)*r.times + len(r.behind))
	r.before = string(le.LittleEndian.AppendUint64(nil, n)) + r.before
	return r
}

// TestBombsInModels: files of the maximum size, in a directory with otherwise ordinary files, and in reports.
func TestBombsInModels(t *testing.T) {
	if testing.Short() {
		t.Skip("writes some hundred megabytes")
	}
	program, dir := binary(t), weights(t, synth.Tiny())
	t.Setenv("MIXTRAL_CACHE_DIR", t.TempDir())
	const shard, pieces = "model-00001-of-00002.safetensors", "tokenizer.model"
	set := func(name string) (path string, restore func()) {
		path = filepath.Join(dir, name)
		if err := os.Rename(path, path+".kept"); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return path, func() { os.Remove(path); os.Rename(path+".kept", path) }
	}
	for name, c := range map[string]struct {
		file string
		text repeated
	}{
		"lists":         {"tokenizer.json", repeated{`{"model":{"merges":[`, "[],", 20 << 20, `[]]}}`}},
		"one long word": {"tokenizer.json", repeated{`{"model":{"type":"`, "x", 60 << 20, `"}}`}},
		"pieces":        {pieces, repeated{"", "\x0a\x00", 30 << 20, ""}},
		"texts":         {"config.json", repeated{`{"architectures":[`, `"",`, 1 << 20, `""]}`}},
		"added tokens": {"tokenizer_config.json", repeated{`{"added_tokens_decoder":{`, `"1":{},`, 500_000,
			`"2":{}}}`}},
		"index":       {"model.safetensors.index.json", repeated{`{"weight_map":{`, `"a":"b",`, 1 << 20, `"a":"b"}}`}},
		"header":      {shard, repeated{`{"a":{"dtype":"F32","shape":[`, "1,", 7 << 20, `1]}}`}.header()},
		"a long name": {shard, repeated{`{"`, "a", 15 << 20, `":1}`}.header()},
	} {
		if c.file == "tokenizer.json" { // it is read only if there is no other
			set(pieces)
		}
		path, restore := set(c.file)
		c.text.write(t, path)
		refused(t, name, program, words("model inspect %s", dir))
		refused(t, name, program, words("model quantize %s --type q4_0 --out %s", dir,
			filepath.Join(t.TempDir(), "out")))
		restore()
		if c.file == "tokenizer.json" {
			os.Rename(filepath.Join(dir, pieces+".kept"), filepath.Join(dir, pieces))
		}
	}
	entry := "\x01\x00\x00\x00a\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x80\x3f"
	for name, text := range map[string]repeated{"phases": {`{"phases":[`, `"",`, 5 << 20, `""]}`},
		"matrix": {"\xff\xff\xff\x7f", entry, 1 << 20, ""}} {
		path := filepath.Join(t.TempDir(), name)
		text.write(t, path)
		refused(t, name, program, words("report show %s", path))
		refused(t, name, program, words("report html %s", path))
		refused(t, name, program, words("model quantize %s --type q4_0 --out %s --imatrix %s", dir,
			filepath.Join(t.TempDir(), "out"), path))
	}
}
