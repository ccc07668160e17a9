package plan

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func profile() *Profile {
	return &Profile{SchemaVersion: 1, Model: "m", Points: []Point{{1, 0.01, 0.01, 0.01}, {10, 0.019, 0.019, 0.019},
		{100, 0.2, 0.2, 0.2}}, PerRow: 1e-4, PerContext: 1e-6, PerPromptContext: 1e-7, PerRequest: 2e-3,
		MaxRunning: 10, PrefillChunk: 512, ContextLength: 4096, BlockTokens: 16, KVBlocks: 100}
}

func TestProfile(t *testing.T) {
	p := profile()
	for _, tt := range []struct {
		step  Step
		want  float64
		bound Bound
	}{
		{Step{Decoding: 1, Rows: 1, Context: 100}, 0.01 + 1e-4 + 1e-4, Bandwidth},
		{Step{Decoding: 4, Rows: 4}, 0.013 + 4e-4, Bandwidth},
		{Step{Prompt: 45, Decoding: 10, Rows: 10}, 0.019 + 0.181/2 + 1e-3, Compute},
		{Step{Prompt: 190, PromptContext: 1000}, 0.2 + 0.181 + 1e-4, Compute}, // the last line goes on
	} {
		got, bound := p.Step(tt.step)
		near(t, "a step", got, tt.want, 1e-9)
		if bound != tt.bound {
			t.Errorf("%+v is bound by %q, want %q", tt.step, bound, tt.bound)
		}
	}
}

func TestBadProfiles(t *testing.T) {
	data, err := json.Marshal(profile())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ReadProfile(data); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ old, with, says string }{
		"version":  {`"schema_version":1`, `"schema_version":2`, "schema_version: must be 1, got 2"},
		"start":    {`"tokens":1,`, `"tokens":2,`, "must begin at 1 token, got 2"},
		"order":    {`"tokens":100,`, `"tokens":10,`, "must have rising tokens, got 10 after"},
		"seconds":  {`"seconds":0.2`, `"seconds":0`, "must have seconds above 0, got 0 for"},
		"negative": {`"seconds_per_row":0.0001`, `"seconds_per_row":-1`, "seconds_per_row: must be a number of at least 0, got -1"},
		"blocks":   {`"kv_blocks":100`, `"kv_blocks":0`, "kv_blocks: must be between 1 and 1073741824, got 0"},
		"json": {`{"schema_version"`, `["schema_version"`,
			"invalid profile: line 1: not JSON: got ':' where a comma or ] must follow"},
		"cut":  {`}]`, ``, "not JSON: "},
		"type": {`"kv_blocks":100`, `"kv_blocks":"x"`, "kv_blocks: must be a whole number, got text"},
	} {
		changed := strings.Replace(string(data), tt.old, tt.with, 1)
		if changed == string(data) {
			t.Fatalf("%s: nothing changed in %s", name, data)
		}
		if _, err := ReadProfile([]byte(changed)); !errors.Is(err, ErrProfile) ||
			!strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ReadProfile(nil); !errors.Is(err, ErrProfile) ||
		err.Error() != "invalid profile: not JSON: it is empty" {
		t.Error(err)
	}
	if _, err := ReadProfile(make([]byte, maxProfile+1)); !errors.Is(err, ErrProfile) {
		t.Error(err)
	}
}

func FuzzReadProfile(f *testing.F) {
	data, _ := json.Marshal(profile())
	f.Add(data)
	f.Add([]byte(`{"points":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ReadProfile(data)
		if err != nil {
			return
		}
		for _, n := range []int{1, 7, 1000} {
			if s, _ := p.Step(Step{Decoding: n, Rows: n, Context: int64(n) * 100}); !(s >= 0) {
				t.Errorf("a step of %d tokens takes %v seconds", n, s)
			}
		}
	})
}

// TestHardware compares the arithmetic with figures that were computed from the data sheets by hand.
func TestHardware(t *testing.T) {
	near(t, "weights of 8x7B", Mixtral8x7B.Weights(), 46.7e9, 0.002)
	near(t, "weights of 8x22B", Mixtral8x22B.Weights(), 140.6e9, 0.002)
	h, err := NewHardware("H100", 1, Mixtral8x7B, 8)
	if err != nil {
		t.Fatal(err)
	}
	// One token reads attention, two of eight experts and the head: 12.7 · 10⁹ weights of one byte.
	got, bound := h.Step(Step{Decoding: 1, Rows: 1})
	near(t, "one sequence's step", got, 12.75e9/(readShare*3350e9)+stepOverhead, 0.01)
	if bound != Bandwidth {
		t.Errorf("one sequence is bound by %q", bound)
	}
	got, bound = h.Step(Step{Prompt: 2048, Rows: 1})
	near(t, "a chunk's step", got, 2*2048*12.6e9/(computeShare*1979e12)+stepOverhead, 0.01)
	if bound != Compute {
		t.Errorf("a chunk is bound by %q", bound)
	}
	for name, make := range map[string]func() (*Hardware, error){
		"unknown":      func() (*Hardware, error) { return NewHardware("h900", 1, Mixtral8x7B, 8) },
		"none":         func() (*Hardware, error) { return NewHardware("h100", 0, Mixtral8x7B, 8) },
		"no FP8":       func() (*Hardware, error) { return NewHardware("a100-80gb", 1, Mixtral8x7B, 8) },
		"bits":         func() (*Hardware, error) { return NewHardware("h100", 1, Mixtral8x7B, 4) },
		"does not fit": func() (*Hardware, error) { return NewHardware("h100", 1, Mixtral8x7B, 16) },
	} {
		if _, err := make(); !errors.Is(err, ErrHardware) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
