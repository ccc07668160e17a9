package convert

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// TestMixesAreLlamas: a file of a name is the same thing everywhere. testdata/mixes.txt is what llama-quantize chose.
func TestMixesAreLlamas(t *testing.T) {
	letters := map[quant.Type]byte{quant.Q2_K: '2', quant.Q3_K: '3', quant.Q4_K: '4', quant.Q5_K: '5',
		quant.Q6_K: '6', quant.Q8_0: '8',
		quant.Q4_0: 'o', quant.Q5_0: 'p', quant.F32: 'F', quant.F16: 'H'}
	f, err := os.Open("testdata/mixes.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := 0
	for s := bufio.NewScanner(f); s.Scan(); {
		if strings.HasPrefix(s.Text(), "#") {
			continue
		}
		var sh shape
		var name, stem, want string
		if _, err := fmt.Sscan(s.Text(), &sh.experts, &sh.layers, &sh.heads, &sh.kvHeads, &name, &stem,
			&want); err != nil {
			t.Fatalf("%q: %v", s.Text(), err)
		}
		m, err := ParseMix(name)
		if err != nil {
			t.Fatal(err)
		}
		kind, ok := stems[stem]
		if !ok {
			t.Fatalf("no tensor is called %s", stem)
		}
		var got []byte
		for layer := range want {
			got = append(got, letters[m.Type(Tensor{Dims: []int{256, 256}, Kind: kind, layer: layer}, sh, false)])
		}
		if string(got) != want {
			t.Errorf("%d experts: %s: %s: %s, llama-quantize chose %s", sh.experts, name, stem, got, want)
		}
		lines++
	}
	if lines < 500 {
		t.Errorf("%d lines were compared", lines)
	}
}

func TestParseMix(t *testing.T) {
	for in, want := range map[string]string{"Q4_K": "q4_k_m", "q4_k_s": "q4_k_s", "Q5_K_M": "q5_k_m", "bf16": "bf16",
		"q3_k": "q3_k_m"} {
		if m, err := ParseMix(in); err != nil || m.Name != want {
			t.Errorf("%s is %q, %v", in, m.Name, err)
		}
	}
	if _, err := ParseMix("q7"); !errors.Is(err, quant.ErrType) {
		t.Errorf("q7: %v", err)
	}
}

// TestWeightedDown: the rules that depend on an importance matrix, for the first of 32 layers and the rest.
func TestWeightedDown(t *testing.T) {
	sh := shape{experts: 8, layers: 32, heads: 32, kvHeads: 8}
	for _, c := range []struct {
		mix             string
		weighted        bool
		first, last     quant.Type
		value, attended quant.Type
	}{
		{"q4_0", true, quant.Q4_1, quant.Q4_0, quant.Q8_0, quant.Q4_0},
		{"q4_0", false, quant.Q4_0, quant.Q4_0, quant.Q8_0, quant.Q4_0},
		{"q5_0", true, quant.Q5_1, quant.Q5_0, quant.Q8_0, quant.Q5_0},
		{"iq4_xs", false, quant.Q5_K, quant.IQ4_XS, quant.Q8_0, quant.Q5_K},
		{"iq4_nl", true, quant.IQ4_NL, quant.IQ4_NL, quant.Q8_0, quant.Q5_K},
		{"q4_1", true, quant.Q4_1, quant.Q4_1, quant.Q8_0, quant.Q4_1},
	} {
		m, err := ParseMix(c.mix)
		if err != nil {
			t.Fatal(err)
		}
		m.weighted = c.weighted
		of := func(kind Kind, layer int) quant.Type {
			return m.Type(Tensor{Dims: []int{256, 256}, Kind: kind, layer: layer}, sh, false)
		}
		if a, b := of(Down, 3), of(Down, 4); a != c.first || b != c.last {
			t.Errorf("%s: ffn_down %v and %v, want %v and %v", c.mix, a, b, c.first, c.last)
		}
		if a, b := of(Value, 0), of(Attended, 0); a != c.value || b != c.attended {
			t.Errorf("%s: attn_v %v, attn_output %v, want %v and %v", c.mix, a, b, c.value, c.attended)
		}
	}
}

// TestRowsOfAnyWidth: a format whose blocks do not divide a row gives way to a wider one.
func TestRowsOfAnyWidth(t *testing.T) {
	for _, c := range []struct {
		mix  string
		cols int
		kind Kind
		want quant.Type
	}{
		{"q4_k_m", 256, Query, quant.Q4_K}, {"q4_k_m", 96, Query, quant.Q5_0}, {"q2_k", 96, Gate, quant.Q4_0},
		{"q5_k_s", 96, Up, quant.Q5_1}, {"iq4_xs", 96, Up, quant.IQ4_NL},
		{"q4_k_m", 96, Output, quant.Q8_0}, {"q6_k", 32, Up, quant.Q8_0}, {"q8_0", 40, Up, quant.F16},
		{"q4_0", 40, Norm, quant.F32}, {"bf16", 40, Up, quant.BF16},
	} {
		m, err := ParseMix(c.mix)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Type(Tensor{Dims: []int{c.cols, 8}, Kind: c.kind}, shape{2, 4, 2, 8, 64}, false); got != c.want {
			t.Errorf("%s of %d columns: %v, want %v", c.mix, c.cols, got, c.want)
		}
	}
	m, _ := ParseMix("q4_k_m")
	if got := m.Type(Tensor{Dims: []int{256, 8}, Kind: Embedding}, shape{2, 4, 2, 8, 64}, true); got != quant.Q6_K {
		t.Errorf("tied embedding: %v", got)
	}
}
