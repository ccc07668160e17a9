package moe

import (
	"fmt"
	"math"
	"sort"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// reference is a decoder in float64, written from the equations of the Mixtral paper (arXiv:2401.04088), RoPE
// (2104.09864) and RMSNorm (1910.07467), one token after the other, without blocks, batches or packing.
type reference struct {
	t    testing.TB
	file *gguf.File
	cfg  Config
	w    map[string][]float64
	k, v [][][]float64 // of each layer and position
	see  func(layer int, in Input, expert int, row []float64)
}

func newReference(t testing.TB, f *gguf.File) *reference {
	t.Helper()
	cfg, err := readConfig(f)
	if err != nil {
		t.Fatal(err)
	}
	embed, _ := f.Tensor("token_embd.weight")
	cfg.Vocab = embed.Dims[1]
	return &reference{t: t, file: f, cfg: cfg, w: map[string][]float64{}, k: make([][][]float64, cfg.Layers),
		v: make([][][]float64, cfg.Layers), see: func(int, Input, int, []float64) {}}
}

func (r *reference) tensor(name string) []float64 {
	if w, ok := r.w[name]; ok {
		return w
	}
	x, ok := r.file.Tensor(name)
	if !ok {
		r.t.Fatalf("no tensor %s", name)
	}
	values := make([]float32, x.Elems())
	if err := quant.Unpack(x.Type, values, x.Data); err != nil {
		r.t.Fatal(err)
	}
	w := make([]float64, len(values))
	for i, v := range values {
		w[i] = float64(v)
	}
	r.w[name] = w
	return w
}

// expert gives one expert's matrix in either layout of files.
func (r *reference) expert(layer int, kind string, e int) []float64 {
	if _, ok := r.file.Tensor(fmt.Sprintf("blk.%d.%s_exps.weight", layer, kind)); ok {
		all := r.tensor(fmt.Sprintf("blk.%d.%s_exps.weight", layer, kind))
		n := len(all) / r.cfg.Experts
		return all[e*n : (e+1)*n]
	}
	return r.tensor(fmt.Sprintf("blk.%d.%s.%d.weight", layer, kind, e))
}

func matVec(w, x []float64) []float64 {
	y := make([]float64, len(w)/len(x))
	for i := range y {
		for j, v := range x {
			y[i] += w[i*len(x)+j] * v
		}
	}
	return y
}

func (r *reference) norm(x, weight []float64) []float64 {
	var sum float64
	for _, v := range x {
		sum += v * v
	}
	scale := 1 / math.Sqrt(sum/float64(len(x))+float64(r.cfg.NormEps))
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = v * scale * weight[i]
	}
	return y
}

func softmax64(x []float64) []float64 {
	top := x[0]
	for _, v := range x {
		top = max(top, v)
	}
	y := make([]float64, len(x))
	var sum float64
	for i, v := range x {
		y[i] = math.Exp(v - top)
		sum += y[i]
	}
	for i := range y {
		y[i] /= sum
	}
	return y
}

func (r *reference) rope(x []float64, pos int) {
	d := r.cfg.HeadDim
	for h := 0; h < len(x); h += d {
		for i := range d / 2 {
			angle := float64(pos) * math.Pow(float64(r.cfg.Rope.Theta), -2*float64(i)/float64(d))
			a, b := x[h+2*i], x[h+2*i+1]
			x[h+2*i] = a*math.Cos(angle) - b*math.Sin(angle)
			x[h+2*i+1] = a*math.Sin(angle) + b*math.Cos(angle)
		}
	}
}

func add64(x, y []float64, factor float64) {
	for i := range x {
		x[i] += factor * y[i]
	}
}

// next appends a token and gives the logits after it.
func (r *reference) next(id int32) []float64 {
	c := r.cfg
	x := append([]float64(nil), r.tensor("token_embd.weight")[int(id)*c.Dim:][:c.Dim]...)
	for l := range c.Layers {
		name := func(s string) string { return fmt.Sprintf("blk.%d.%s.weight", l, s) }
		h := r.norm(x, r.tensor(name("attn_norm")))
		r.see(l, AttentionInput, 0, h)
		q, k, v := matVec(r.tensor(name("attn_q")), h), matVec(r.tensor(name("attn_k")), h),
			matVec(r.tensor(name("attn_v")), h)
		pos := len(r.k[l])
		r.rope(q, pos)
		r.rope(k, pos)
		r.k[l], r.v[l] = append(r.k[l], k), append(r.v[l], v)
		a := r.attend(l, q)
		r.see(l, AttentionOutput, 0, a)
		add64(x, matVec(r.tensor(name("attn_output")), a), 1)
		h = r.norm(x, r.tensor(name("ffn_norm")))
		r.mixture(l, x, h, matVec(r.tensor(name("ffn_gate_inp")), h))
	}
	out := "output.weight"
	if _, ok := r.file.Tensor(out); !ok {
		out = "token_embd.weight"
	}
	h := r.norm(x, r.tensor("output_norm.weight"))
	r.see(c.Layers, OutputInput, 0, h)
	return matVec(r.tensor(out), h)
}

func (r *reference) attend(l int, q []float64) []float64 {
	d, out := r.cfg.HeadDim, make([]float64, len(q))
	for h := range r.cfg.Heads {
		kv := h / (r.cfg.Heads / r.cfg.KVHeads) * d
		scores := make([]float64, len(r.k[l]))
		for p, k := range r.k[l] {
			for i := range d {
				scores[p] += q[h*d+i] * k[kv+i] / math.Sqrt(float64(d))
			}
		}
		for p, w := range softmax64(scores) {
			add64(out[h*d:(h+1)*d], r.v[l][p][kv:kv+d], w)
		}
	}
	return out
}

// mixture adds Σ softmax(top-k router logits)_e · (silu(gate_e·h) ⊙ up_e·h)·down_e to x.
func (r *reference) mixture(l int, x, h, router []float64) {
	order := make([]int, len(router))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(a, b int) bool { return router[order[a]] > router[order[b]] })
	var top []float64
	for _, e := range order[:r.cfg.ExpertsUsed] {
		top = append(top, router[e])
	}
	for i, w := range softmax64(top) {
		e := order[i]
		gate, up := matVec(r.expert(l, "ffn_gate", e), h), matVec(r.expert(l, "ffn_up", e), h)
		for j, g := range gate {
			gate[j] = g / (1 + math.Exp(-g)) * up[j]
		}
		r.see(l, ExpertInput, e, h)
		r.see(l, ExpertHidden, e, gate)
		add64(x, matVec(r.expert(l, "ffn_down", e), gate), w)
	}
}
