package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/convert/hftest"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// TestQuantizeDirectory: a Hugging Face directory becomes a file that verifies and runs.
func TestQuantizeDirectory(t *testing.T) {
	shape := synth.Tiny()
	shape.Type = quant.F32
	model, err := synth.Bytes(shape)
	if err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Parse(model)
	if err != nil {
		t.Fatal(err)
	}
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "m.gguf")
	if err := hftest.Write(dir, f, hftest.Options{DType: "BF16", Shards: 2}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		want string // on either stream
	}{
		{[]string{"model", "inspect", dir}, exitOK, ": safetensors; what follows is what they are converted to"},
		{[]string{"model", "quantize", dir, "--type", "q8_0", "--out", out}, exitOK,
			"blk.1.ffn_down_exps.weight  BF16  Q8_0"},
		{[]string{"model", "verify", out}, exitOK, "all finite"},
		{[]string{"model", "inspect", out}, exitOK, "chat template  in the file"},
		{[]string{"run", "--model", out, "--max-tokens", "4", "hello"}, exitOK, ""},
		{[]string{"model", "quantize", filepath.Join(dir, "config.json"), "--type", "q8_0", "--out", out + "2"},
			exitUsage, "config.json"},
		{[]string{"model", "quantize", dir, "--type", "q8_0", "--out", filepath.Join(dir, "none", "m.gguf")},
			exitSetup, "cannot write"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(&app{ctx: t.Context(), stdout: &stdout, stderr: &stderr, getenv: os.Getenv}, c.args)
		if code != c.code || !strings.Contains(stdout.String()+stderr.String(), c.want) {
			t.Errorf("%v: exit code %d\n%s%s", c.args, code, stdout.String(), stderr.String())
		}
	}
}
