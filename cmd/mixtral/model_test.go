package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// TestVerifyFindsDamage: a weight that is not a number, a file cut short, a tensor missing.
func TestVerifyFindsDamage(t *testing.T) {
	good, err := synth.Bytes(synth.Tiny())
	if err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Parse(good)
	if err != nil {
		t.Fatal(err)
	}
	x, _ := f.Tensor("blk.1.ffn_down_exps.weight")
	at := bytes.Index(good, x.Data)
	r, _ := f.Tensor("blk.0.ffn_gate_inp.weight")
	router := bytes.Index(good, r.Data)
	for name, test := range map[string]struct {
		spoil func([]byte) []byte
		code  int
		text  string
	}{
		"whole": {func(b []byte) []byte { return b }, exitOK, ""},
		"NaN": {func(b []byte) []byte { b[at+34*100], b[at+34*100+1] = 0xff, 0xff; return b }, exitFail,
			"tensor blk.1.ffn_down_exps.weight: weight 3200 is NaN"},
		"dead": {func(b []byte) []byte { clear(b[router+3*256 : router+4*256]); return b }, exitFail,
			"tensor blk.0.ffn_gate_inp.weight: the experts' rows have norms of 0 to"},
		"twins": {func(b []byte) []byte { copy(b[router+5*256:router+6*256], b[router:router+256]); return b },
			exitFail, "experts 0 and 5 have the same row"},
		"cut": {func(b []byte) []byte { return b[:len(b)-1000] }, exitUsage, "cut short"},
		"missing": {func(b []byte) []byte {
			return bytes.Replace(b, []byte("blk.1.attn_k.weight"), []byte("blk.1.attn_x.weight"), 1)
		}, exitFail, "tensor blk.1.attn_k.weight is missing"},
	} {
		path := filepath.Join(t.TempDir(), "m.gguf")
		if err := os.WriteFile(path, test.spoil(bytes.Clone(good)), 0o600); err != nil {
			t.Fatal(err)
		}
		var out, errs bytes.Buffer
		code := run(&app{ctx: t.Context(), stdout: &out, stderr: &errs, getenv: os.Getenv},
			[]string{"model", "verify", path})
		if code != test.code || !strings.Contains(errs.String(), test.text) ||
			(code == exitOK) != strings.Contains(out.String(), "all finite") {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q", name, code, out.String(), errs.String())
		}
	}
}

func TestSizesArePeoples(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 9999: "9999 bytes", 123456: "123.5 kB",
		26_400_000_000: "26.40 GB", 7_900_000: "7.9 MB"} {
		if got := size(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	for n, want := range map[int64]string{999: "999", 4_200_000: "4.2 million", 46_700_000_000: "46.70 billion"} {
		if got := count(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
