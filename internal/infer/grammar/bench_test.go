package grammar

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/token"
	"time"
)

// wide is a schema of at least so many bytes.
func wide(bytes int) string {
	var props, names []string
	for i := 0; len(strings.Join(props, ",")) < bytes; i++ {
		name := fmt.Sprintf("%q", fmt.Sprintf("field_%d", i))
		names = append(names, name)
		props = append(props, name+`:`+[]string{`{"type":"string","maxLength":100,"description":"what is meant by it"}`,
			`{"type":"integer","minimum":-10,"maximum":100000}`, `{"enum":["red","green","blue"]}`,
			`{"type":"array","items":{"type":"number"},"maxItems":5}`, `{"type":"string","format":"date-time"}`,
			`{"type":"object","properties":{"x":{"type":"number"},"y":{"type":"string"}},"required":["x"]}`}[i%6])
	}
	return `{"type":"object","properties":{` + strings.Join(props, ",") + `},"required":[` +
		strings.Join(names[:len(names)/2], ",") + `]}`
}

func BenchmarkCompile(b *testing.B) {
	v, _ := vocabulary(b, 32000)
	orders := corpus(b, "orders.json")["testdata/orders.json"]
	for _, bench := range []struct{ name, schema string }{{"orders", orders}, {"10KB", wide(10_000)}} {
		b.Run(bench.name, func(b *testing.B) {
			from := cpu()
			for b.Loop() {
				compile(b, v, JSONSchema, bench.schema)
			}
			reportCPU(b, from)
		})
	}
}

func BenchmarkVocabulary(b *testing.B) {
	tok, err := token.New(token.Synthetic(32000, 1))
	if err != nil {
		b.Fatal(err)
	}
	texts := textsOf(tok)
	for b.Loop() {
		v, err := NewVocabulary(texts, []int32{tok.EOS()})
		if err != nil {
			b.Fatal(err)
		}
		v.Prepare()
	}
}

// BenchmarkMask follows answers and gives the times of their masks, from the first answer of a fresh grammar on:
// the median, and the 99th percentile, which is that of masks that have to be found.
func BenchmarkMask(b *testing.B) {
	v, _ := vocabulary(b, 32000)
	orders := corpus(b, "orders.json")["testdata/orders.json"]
	for _, bench := range []struct {
		name   string
		kind   Kind
		source string
	}{
		{"orders", JSONSchema, orders}, {"any", JSONObject, ""}, {"10KB", JSONSchema, wide(10_000)},
		{"regex", Regex, `[A-Z][a-z]+ [A-Z][a-z]+, \d{1,3} \w+ (Street|Road), \d{5} [A-Za-z ]{2,40}`},
		{"gbnf", GBNF, "root ::= expr\nexpr ::= term ([-+*/] term)*\nterm ::= [a-z]+ | [0-9]+ | \"(\" expr \")\""},
	} {
		b.Run(bench.name, func(b *testing.B) {
			var times []time.Duration
			rng := rand.New(rand.NewPCG(1, 2))
			for b.Loop() {
				g := compile(b, v, bench.kind, bench.source)
				times = append(times, maskTimes(b, g, rng, 20)...)
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2].Nanoseconds()), "p50-ns/mask")
			b.ReportMetric(float64(times[len(times)*99/100].Nanoseconds()), "p99-ns/mask")
			b.ReportMetric(float64(times[len(times)-1].Nanoseconds()), "max-ns/mask")
		})
	}
}

// maskTimes follows answers of a grammar and gives how long each mask took.
func maskTimes(tb testing.TB, g *Grammar, rng *rand.Rand, answers int) (times []time.Duration) {
	for range answers {
		m := g.Start(true)
		for range 300 {
			if m.Ended() {
				break
			}
			began := time.Now()
			mask, err := m.Allowed()
			times = append(times, time.Since(began))
			if err != nil {
				tb.Fatal(err)
			}
			id := pick(mask, rng)
			if id == g.w.v.ends[0] {
				break
			}
			if err := m.Accept(id); err != nil {
				tb.Fatal(err)
			}
		}
	}
	return times
}
