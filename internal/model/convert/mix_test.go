package convert

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// TestMixesAreLlamas: a file of a name is the same thing everywhere. testdata/mixes.txt is what llama-quantize chose.
func TestMixesAreLlamas(t *testing.T) {
	f, err := os.Open("testdata/mixes.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	compared, foreign := 0, map[string]bool{}
	for s := bufio.NewScanner(f); s.Scan(); {
		if strings.HasPrefix(s.Text(), "#") {
			continue
		}
		var sh shape
		var width, ffn int
		var tied, name, matrix string
		if _, err := fmt.Sscan(s.Text(), &sh.experts, &sh.layers, &sh.heads, &sh.kvHeads, &width, &ffn, &tied, &name,
			&matrix); err != nil {
			t.Fatalf("%q: %v", s.Text(), err)
		}
		m, err := ParseMix(name)
		if err != nil {
			foreign[name] = true
			continue
		}
		for _, field := range strings.Fields(s.Text())[9:] {
			stem, want, _ := strings.Cut(field, "=")
			kind, ok := stems[stem]
			if !ok {
				t.Fatalf("no tensor is called %s", stem)
			}
			cols := width
			if kind == Down {
				cols = ffn
			}
			for layer, format := range perLayer(t, want, sh.layers) {
				for _, weighted := range []bool{false, true} {
					if matrix == "plain" && weighted || matrix == "weighted" && !weighted {
						continue
					}
					m.weighted, m.Pure = weighted, matrix == "pure"
					got := m.Type(Tensor{Dims: []int{cols, 256}, Kind: kind, layer: layer}, sh, tied == "tied")
					if !strings.EqualFold(got.String(), format) {
						t.Fatalf("%s %s: layer %d has %v", strings.Join(strings.Fields(s.Text())[:9], " "), stem,
							layer, got)
					}
					compared++
				}
			}
		}
	}
	got, want := slices.Sorted(maps.Keys(foreign)), slices.Sorted(maps.Values(foreignMixes))
	if !slices.Equal(got, want) {
		t.Errorf("not written are %v, want %v", got, want)
	}
	if compared < 50000 {
		t.Errorf("%d formats were compared", compared)
	}
}

// perLayer spells out "q6_k*2,q4_k*3", or one format for all layers.
func perLayer(t *testing.T, runs string, layers int) (all []string) {
	t.Helper()
	for _, run := range strings.Split(runs, ",") {
		format, count, ok := strings.Cut(run, "*")
		n, err := strconv.Atoi(count)
		if !ok {
			n, err = layers, nil
		}
		if err != nil {
			t.Fatalf("%q: %v", runs, err)
		}
		all = append(all, slices.Repeat([]string{format}, n)...)
	}
	if len(all) != layers {
		t.Fatalf("%q is not for %d layers", runs, layers)
	}
	return all
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
