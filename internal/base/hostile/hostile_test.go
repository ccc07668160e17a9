package hostile

import (
	"encoding/json"
	"slices"
	"testing"
)

// TestJSON: there is a variant for each value and each key, and all are JSON, except some with numbers.
func TestJSON(t *testing.T) {
	const honest = `{"a": [1, {"b":"x"}], "c" : null}`
	seen, valid := map[string]bool{}, 0
	for _, data := range JSON([]byte(honest)) {
		if json.Valid(data) {
			valid++
		}
		seen[string(data)] = true
	}
	if want := 6*len(values) + 3*3; valid != want {
		t.Errorf("%d variants are JSON, want %d", valid, want)
	}
	for _, want := range []string{`{"a": [1, {"b":-1}], "c" : null}`, `{"a": [[], {"b":"x"}], "c" : null}`, `{}`,
		`{"a": [1, {"gone":0}], "c" : null}`, `{"a": [1, {"b":"x"}], "c" : null,"c" : 7}`} {
		if !seen[want] {
			t.Errorf("%s is missing", want)
		}
	}
}

// TestOrderOfJSON: the variants and their names come in the same order each time.
func TestOrderOfJSON(t *testing.T) {
	var first []string
	for round := range 8 {
		var all []string
		for name, data := range JSON([]byte(`{"a":1}`)) {
			all = append(all, name+": "+string(data))
		}
		if round == 0 {
			first = all
		}
		if !slices.Equal(all, first) {
			t.Fatalf("%q, then %q", first, all)
		}
	}
}

func TestBinary(t *testing.T) {
	honest := []byte("abcdefghij")
	seen := map[string]bool{}
	for _, data := range Binary(honest, 4) {
		seen[string(data)] = true
	}
	for _, want := range []string{"", "abc", "a\x00cdefghij", "abc\xff\xff\xff\xffhij",
		"a\x0a\x00\x00\x00\x00\x00\x00\x00j"} {
		if !seen[want] {
			t.Errorf("%q is missing", want)
		}
	}
	if string(honest) != "abcdefghij" {
		t.Errorf("the honest file is now %q", honest)
	}
}

// TestBombs: the memory that a reader allocates is measured. The wrong bound is one that the test would fail at.
func TestBombs(t *testing.T) {
	var kept [][]byte
	got, _ := Allocated(func() {
		for range 100 {
			kept = append(kept, make([]byte, 10_000))
		}
	})
	if got < 1_000_000 || got > 1_200_000 {
		t.Errorf("%d bytes", got)
	}
	for name, text := range Texts(`{"a":%s}`, 10_000) {
		if len(text) < 7_000 || len(text) > 12_000 {
			t.Errorf("%s has %d bytes", name, len(text))
		}
	}
}
