package plan

import (
	"fmt"
	"maps"
	"slices"

	"github.com/hxp-enterprise/mixtral/internal/base/stats"
)

// Decoding is a measurement of sequences that decode together, with no other work.
type Decoding struct {
	Sequences int
	Context   int     // positions that each sequence attends to, on average
	Seconds   float64 // between two tokens of a sequence
}

// Prefill is a measurement of one prompt on an idle server.
type Prefill struct {
	Tokens  int
	Seconds float64 // to the first token
}

// Measurements are the input of a profile. They may be repeated: medians are used.
type Measurements struct {
	Decoding []Decoding
	Prefill  []Prefill
	// Chunk is the maximum number of prompt tokens in one step. A prompt of twice that length is computed in two
	// steps, which shows how much attention to the first half costs.
	Chunk int
}

// Fit computes the costs of a profile from measurements. Let W(n) be the seconds of a step of n tokens, r those of a
// row of logits, q those of a request besides its steps, and c and p those of an attended position in decoding and in
// prompts. Then n sequences take D(n) = W(n) + nr + nc·context between two tokens, and a prompt of n tokens takes T(n)
// = q + W(n) + r + p·n(n+1)/2 to its first token. Sizes that were measured both ways give r and q, two contexts give
// c, and a prompt of two chunks gives p. The measurements must include decoding of one sequence in two contexts, at
// least two sizes measured both ways, and a prompt of one chunk and one of two. The error matches ErrProfile and names
// what is missing.
func (p *Profile) Fit(m Measurements) error {
	decoding := map[int][]Decoding{} // by number of sequences
	one := map[int][]float64{}       // of one sequence, by context
	for _, d := range m.Decoding {
		decoding[d.Sequences] = append(decoding[d.Sequences], d)
		if d.Sequences == 1 {
			one[d.Context] = append(one[d.Context], d.Seconds)
		}
	}
	prefill := map[int][]float64{}
	for _, f := range m.Prefill {
		prefill[f.Tokens] = append(prefill[f.Tokens], f.Seconds)
	}
	contexts := slices.Sorted(maps.Keys(one))
	switch {
	case len(contexts) < 2:
		return fmt.Errorf("%w: one sequence must be measured in 2 contexts, got %d", ErrProfile, len(contexts))
	case prefill[m.Chunk] == nil || prefill[2*m.Chunk] == nil:
		return fmt.Errorf("%w: prompts of %d and %d tokens were not both measured", ErrProfile, m.Chunk, 2*m.Chunk)
	}
	short, long := contexts[0], contexts[len(contexts)-1]
	p.PerPromptContext = 0
	p.PerContext = max((stats.Median(one[long])-stats.Median(one[short]))/float64(long-short), 0)
	var sizes []int
	for n := range decoding {
		if prefill[n] != nil {
			sizes = append(sizes, n)
		}
	}
	if len(sizes) < 2 {
		return fmt.Errorf("%w: 2 sizes must be measured both as sequences and as prompts, got %d", ErrProfile,
			len(sizes))
	}
	slices.Sort(sizes)
	// The cost of attention in prompts hardly changes the line, and the line hardly changes that cost: they settle at
	// once.
	chunk := float64(m.Chunk)
	for range 4 {
		var x, y []float64
		for _, n := range sizes {
			d := stats.Median(p.withoutAttention(decoding[n]))
			x, y = append(x, float64(n)), append(y, stats.Median(prefill[n])-p.attention(n)-d)
		}
		intercept, slope := line(x, y) // of q + r − nr
		p.PerRow = max(-slope, 0)
		p.PerRequest = max(intercept-p.PerRow, 0)
		first, both := stats.Median(prefill[m.Chunk]), stats.Median(prefill[2*m.Chunk])
		p.PerPromptContext = max((both-2*first+p.PerRequest+p.PerRow)/
			(chunk*chunk), 0)
	}
	p.Points = p.Points[:0]
	for n, measured := range decoding {
		p.point(n, p.withoutAttention(measured), float64(n)*p.PerRow)
	}
	for n, at := range prefill {
		if decoding[n] == nil && n <= m.Chunk {
			p.point(n, at, p.PerRequest+p.PerRow+p.attention(n))
		}
	}
	slices.SortFunc(p.Points, func(a, b Point) int { return a.Tokens - b.Tokens })
	rising(p.Points)
	return p.check()
}

// attention returns the cost of the attention within a prompt of n tokens.
func (p *Profile) attention(n int) float64 { return p.PerPromptContext * float64(n) * float64(n+1) / 2 }

// withoutAttention returns the seconds between two tokens of a sequence, without those that attention took.
func (p *Profile) withoutAttention(measured []Decoding) []float64 {
	seconds := make([]float64, len(measured))
	for i, d := range measured {
		seconds[i] = d.Seconds - float64(d.Sequences*d.Context)*p.PerContext
	}
	return seconds
}

// point adds a number of tokens, from measurements that also contain other costs, which are beside.
func (p *Profile) point(tokens int, seconds []float64, beside float64) {
	p.Points = append(p.Points, Point{Tokens: tokens, Seconds: stats.Median(seconds) - beside,
		Low: slices.Min(seconds) - beside, High: slices.Max(seconds) - beside})
}

// rising corrects points that fall because of noise, since a step of more tokens is not faster. It replaces them with
// their mean (pool adjacent violators).
func rising(points []Point) {
	type run struct{ sum, n float64 }
	var runs []run
	for _, at := range points {
		runs = append(runs, run{at.Seconds, 1})
		for k := len(runs) - 1; k > 0 && runs[k].sum/runs[k].n < runs[k-1].sum/runs[k-1].n; k-- {
			runs[k-1].sum, runs[k-1].n = runs[k-1].sum+runs[k].sum, runs[k-1].n+runs[k].n
			runs = runs[:k]
		}
	}
	i := 0
	for _, r := range runs {
		for range int(r.n) {
			points[i].Seconds = max(r.sum/r.n, 1e-9)
			i++
		}
	}
}

// line fits y = a + bx by least squares.
func line(x, y []float64) (a, b float64) {
	n := float64(len(x))
	var sx, sy, sxx, sxy float64
	for i := range x {
		sx, sy = sx+x[i], sy+y[i]
		sxx, sxy = sxx+x[i]*x[i], sxy+x[i]*y[i]
	}
	b = (n*sxy - sx*sy) / (n*sxx - sx*sx)
	return (sy - b*sx) / n, b
}
