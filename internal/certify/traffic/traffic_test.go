package traffic

import (
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/testcases"
)

// Two records in each public format.
var samples = map[testcases.Format]string{
	testcases.FormatJSONL: `{"prompt":"one","max_tokens":7}

{"messages":[{"role":"system","content":"be kind"},{"role":"user","content":"two"},{"role":"assistant","content":"x"},{"role":"user","content":"three"}]}`,
	testcases.FormatShareGPT: `[{"id":"a","conversations":[{"from":"human","value":"one"},{"from":"gpt","value":"x"}]},
{"id":"empty","conversations":[]},
{"id":"b","conversations":[{"from":"system","value":"be kind"},{"from":"human","value":"two"},{"from":"gpt","value":"y"},{"from":"human","value":"three"}]}]`,
	testcases.FormatOpenOrca: `{"id":"1","system_prompt":"","question":"one","response":"r"}
{"id":"2","system_prompt":"be kind","question":"two","response":"r"}`,
	testcases.FormatGSM8K: `{"question":"one","answer":"#### 1"}
{"question":"two","answer":"#### 2"}`,
	testcases.FormatCSV: "id,Prompt,max_tokens\n1,one,7\n2,\"two\nlines\",\n",
	testcases.FormatMooncake: `{"timestamp": 27482, "input_length": 600, "output_length": 52, "hash_ids": [46, 47]}
{"timestamp": 30535, "input_length": 1000, "output_length": 26, "hash_ids": [46, 48]}`,
	testcases.FormatBurstGPT: "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n" +
		"45,ChatGPT,118,26,144,Conversation log\n5,ChatGPT,472,18,490,Conversation log\n",
	testcases.FormatAzure: "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n" +
		"2023-11-16 18:15:50.9951690,396,109\n",
}

func TestFormats(t *testing.T) {
	got := map[testcases.Format][]Record{}
	for format, text := range samples {
		r, err := Read(format, "", 0, []byte(text))
		if err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		got[format] = r
	}
	two := Record{System: "be kind", Turns: []string{"two", "three"}}
	for format, want := range map[testcases.Format][]Record{
		testcases.FormatJSONL:    {{Turns: []string{"one"}, Output: 7}, two},
		testcases.FormatShareGPT: {{Turns: []string{"one"}}, two},
		testcases.FormatOpenOrca: {{Turns: []string{"one"}}, {System: "be kind", Turns: []string{"two"}}},
		testcases.FormatGSM8K:    {{Turns: []string{"one"}}, {Turns: []string{"two"}}},
		testcases.FormatCSV:      {{Turns: []string{"one"}, Output: 7}, {Turns: []string{"two\nlines"}}},
		testcases.FormatMooncake: {{Input: 600, Output: 52, Blocks: []int64{46, 47}},
			{At: 3.053, Input: 1000, Output: 26, Blocks: []int64{46, 48}}},
		testcases.FormatBurstGPT: {{Input: 472, Output: 18}, {At: 40, Input: 118, Output: 26}},
		testcases.FormatAzure:    {{Input: 374, Output: 44}, {At: 4.314579, Input: 396, Output: 109}},
	} {
		for i := range got[format] {
			got[format][i].At = math.Round(got[format][i].At*1e6) / 1e6
		}
		if !reflect.DeepEqual(got[format], want) {
			t.Errorf("%s: %+v, want %+v", format, got[format], want)
		}
	}
}

// TestContentMayBeParts: the content of OpenAI's messages is a text or a list of parts.
func TestContentMayBeParts(t *testing.T) {
	got, err := Read(testcases.FormatJSONL, "", 0, []byte(`{"messages":[{"role":"system","content":"Be brief."},`+
		`{"role":"user","content":[{"type":"text","text":"What is "},{"type":"text","text":"this?"}]},`+
		`{"role":"assistant","content":null}]}`))
	if err != nil || len(got) != 1 || got[0].System != "Be brief." || len(got[0].Turns) != 1 ||
		got[0].Turns[0] != "What is this?" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestBadFilesNameTheRecord(t *testing.T) {
	for _, c := range []struct {
		format testcases.Format
		text   string
		want   string
	}{
		{testcases.FormatJSONL, "{\"prompt\":\"a\"}\n{", "line 2"},
		{testcases.FormatJSONL, `{"prompt":"a","max_tokens":-1}`, "max_tokens: must be between 0"},
		{testcases.FormatJSONL, `{"other":1}`, "takes it from prompt, text, or the user's messages"},
		{testcases.FormatJSONL, `{"prompt":5}`, "line 1: prompt: must be text, got a number"},
		{testcases.FormatJSONL, `{"messages":{"role":"user"}}`, "messages: must be a list, got an object"},
		{testcases.FormatJSONL, `["a"]`, "record 1: must be an object, got text"},
		{testcases.FormatJSONL, `{"messages":[{"role":"user","content":5}]}`, "content: must be a text, or a list"},
		{testcases.FormatJSONL, `{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{}}]}]}`,
			`content: a part of type "image_url"`},
		{testcases.FormatCSV, "", "it is empty"},
		{testcases.FormatShareGPT, `[{"conversations":3}]`, "record 1"},
		{testcases.FormatCSV, "text\na\n", `no column "prompt"; it has text`},
		{testcases.FormatCSV, "prompt,b\na\n", "wrong number of fields"},
		{testcases.FormatMooncake, `{"timestamp":1}`, "needs timestamp, input_length and output_length"},
		{testcases.FormatMooncake, `{"timestamp":1,"input_length":5,"output_length":5,"hash_ids":[1,2]}`,
			"2 blocks"},
		{testcases.FormatBurstGPT, "Timestamp,Request tokens,Response tokens\nnow,1,2\n", `line 2: timestamp`},
		{testcases.FormatAzure, "TIMESTAMP,ContextTokens,GeneratedTokens\n5,1,2\n", "2023-11-16"},
		{testcases.FormatAzure, "TIMESTAMP,ContextTokens\n", `no column "generatedtokens"`},
		{testcases.FormatGSM8K, "{\"question\":\"\xff\"}", "not UTF-8"},
	} {
		if _, err := Read(c.format, "", 0, []byte(c.text)); !errors.Is(err, ErrFormat) ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %q: %v, want %q", c.format, c.text, err, c.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	for format, text := range samples {
		f.Add(string(format), []byte(text))
	}
	f.Fuzz(func(t *testing.T, format string, data []byte) {
		records, err := Read(testcases.Format(format), "", 100, data)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("%v is not ErrFormat", err)
			}
			return
		}
		before := 0.0
		for _, r := range records {
			if r.At < before || r.Output < 0 || r.Output > maxTokens || r.Input > maxTokens ||
				len(r.Turns) > maxTurns {
				t.Errorf("record %+v", r)
			}
			before = r.At
		}
		s := &Source{spec: &testcases.Traffic{Format: testcases.Format(format)}, records: records[:1]}
		if records[0].Input < 1000 && len(s.Session(0).Turns) == 0 {
			t.Error("a session without a turn")
		}
	})
}

// Means of 20,000 draws are within four standard errors of the distribution's mean.
func TestDistributionsHaveTheirMeans(t *testing.T) {
	zipf := func(s float64, n int) (mean, sd float64) {
		sum, first, second := 0.0, 0.0, 0.0
		for k := 1.0; k <= float64(n); k++ {
			p := math.Pow(k, -s)
			sum, first, second = sum+p, first+p*k, second+p*k*k
		}
		mean = first / sum
		return mean, math.Sqrt(second/sum - mean*mean)
	}
	z, zd := zipf(1.2, 50)
	one, oned := zipf(1, 50)
	for _, c := range []struct {
		d        testcases.Distribution
		mean, sd float64
	}{
		{testcases.Distribution{Shape: testcases.ShapeFixed, Mean: 7}, 7, 0},
		{testcases.Distribution{Shape: testcases.ShapeUniform, Min: 10, Max: 30}, 20, 20 / math.Sqrt(12)},
		{testcases.Distribution{Shape: testcases.ShapeNormal, Mean: 100, SD: 10}, 100, 10},
		{testcases.Distribution{Shape: testcases.ShapeLogNormal, Mean: 300, SD: 200}, 300, 200},
		{testcases.Distribution{Shape: testcases.ShapeExponential, Mean: 5}, 5, 5},
		{testcases.Distribution{Shape: testcases.ShapeZipf, Exponent: 1.2, Min: 1, Max: 50}, z, zd},
		{testcases.Distribution{Shape: testcases.ShapeZipf, Exponent: 1, Min: 11, Max: 60}, one + 10, oned},
		{testcases.Distribution{Shape: testcases.ShapeEmpirical, Values: []float64{1, 2, 6}}, 3, 2.2},
	} {
		rng := rand.New(rand.NewPCG(1, 2))
		const n = 20000
		sum := 0.0
		for range n {
			sum += draw(rng, &c.d, 0)
		}
		if got := sum / n; math.Abs(got-c.mean) > 4*c.sd/math.Sqrt(n)+1e-9 {
			t.Errorf("%s: mean %g, want %g", c.d.Shape, got, c.mean)
		}
	}
	d := testcases.Distribution{Shape: testcases.ShapeNormal, Mean: 10, SD: 10, Min: 8, Max: 12}
	rng := rand.New(rand.NewPCG(1, 3))
	for range 1000 {
		if v := draw(rng, &d, 1); v < 8 || v > 12 {
			t.Fatalf("%g is beyond the bounds", v)
		}
	}
}

func to(v float64) *float64 { return &v }

func TestStagesOfferTheirRates(t *testing.T) {
	ph := testcases.Phase{Stages: []testcases.Stage{{DurationS: 100, RPS: 0, ToRPS: to(20)}, {DurationS: 50, RPS: 20},
		{DurationS: 100, RPS: 20, ToRPS: to(10)}}}
	at := Arrivals(3, ph, 0)
	if len(at) != 3500 { // 1000 + 1000 + 1500
		t.Fatalf("%d arrivals, want 3500", len(at))
	}
	count := func(from, to float64) (n float64) {
		for i, a := range at {
			if i > 0 && a < at[i-1] {
				t.Fatal("the schedule goes back")
			}
			if s := a.Seconds(); s >= from && s < to {
				n++
			}
		}
		return n
	}
	for _, c := range []struct{ from, to, want float64 }{{0, 50, 250}, {50, 100, 750}, {100, 150, 1000},
		{150, 250, 1500}, {0, 250, 3500}} {
		if n := count(c.from, c.to); math.Abs(n-c.want) > 4*math.Sqrt(c.want) {
			t.Errorf("%g arrivals from %g to %g s, want about %g", n, c.from, c.to, c.want)
		}
	}
	ph.Arrivals = testcases.ArrivalsConstant
	at = Arrivals(3, ph, 0)
	if got, want := at[250].Seconds(), 50.0; math.Abs(got-want) > 1e-6 { // ∫ 0.2 t dt = 250 at 50 s
		t.Errorf("arrival 250 of an even ramp at %g s, want %g", got, want)
	}
}

// The coefficient of variation of the gaps is 1/√k.
func TestGammaArrivalsAreAsBurstyAsAskedFor(t *testing.T) {
	for _, k := range []float64{0.25, 1, 4} {
		ph := testcases.Phase{Arrivals: testcases.ArrivalsGamma, Burstiness: k, DurationS: 400}
		at := Arrivals(5, ph, 50)
		if len(at) != 20000 || at[len(at)-1] >= 400*time.Second {
			t.Fatalf("%d arrivals until %s", len(at), at[len(at)-1])
		}
		var sum, squares float64
		for i := 1; i < len(at); i++ {
			g := (at[i] - at[i-1]).Seconds()
			sum, squares = sum+g, squares+g*g
		}
		n := float64(len(at) - 1)
		mean := sum / n
		cv := math.Sqrt(squares/n-mean*mean) / mean
		if want := 1 / math.Sqrt(k); math.Abs(cv-want) > 0.05*want {
			t.Errorf("burstiness %g: coefficient of variation %g, want %g", k, cv, want)
		}
	}
}

func source(t *testing.T, spec testcases.Traffic, data string) *Source {
	t.Helper()
	s, err := New(&spec, []byte(data), 9)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestMadeUpPromptsHaveTheirLengthsAndShareTheirStarts(t *testing.T) {
	spec := testcases.Traffic{Input: &testcases.Distribution{Shape: testcases.ShapeUniform, Min: 100, Max: 200},
		Output: &testcases.Distribution{Shape: testcases.ShapeFixed, Mean: 33}, Shared: 0.5, Prefixes: 3}
	s := source(t, spec, "")
	starts, whole := map[string]bool{}, map[string]bool{}
	for n := range 200 {
		turn := s.Session(n).Turns[0]
		words := strings.Fields(turn.Text)
		if len(words) < 100 || len(words) > 200 || turn.MaxTokens != 33 {
			t.Fatalf("%d words, %d tokens", len(words), turn.MaxTokens)
		}
		starts[strings.Join(words[:50], " ")], whole[turn.Text] = true, true
	}
	if len(starts) != 3 || len(whole) != 200 {
		t.Errorf("%d starts, want 3; %d texts, want 200", len(starts), len(whole))
	}
	if again := source(t, spec, ""); !reflect.DeepEqual(again.Session(150), s.Session(150)) {
		t.Error("the same seed makes another session")
	}
}

func TestTracesKeepTimesLengthsAndBlocks(t *testing.T) {
	s := source(t, testcases.Traffic{File: "f", Format: testcases.FormatMooncake, Scale: 2},
		samples[testcases.FormatMooncake])
	at := s.Schedule(0)
	if len(at) != 2 || at[0] != 0 || math.Abs(at[1].Seconds()-3.053/2) > 1e-6 {
		t.Errorf("schedule %v", at)
	}
	if short := s.Schedule(time.Second); len(short) != 1 {
		t.Errorf("%d arrivals in a second, want 1", len(short))
	}
	a, b := strings.Fields(s.Session(0).Turns[0].Text), strings.Fields(s.Session(1).Turns[0].Text)
	if len(a) != 600 || len(b) != 1000 {
		t.Fatalf("%d and %d tokens", len(a), len(b))
	}
	if !reflect.DeepEqual(a[:512], b[:512]) || reflect.DeepEqual(a[512:600], b[512:600]) {
		t.Error("the first block is shared, and the second is not")
	}
	if s.Session(1).Turns[0].MaxTokens != 26 {
		t.Errorf("%+v", s.Session(1).Turns[0].MaxTokens)
	}
}

func TestConversations(t *testing.T) {
	five := &testcases.Distribution{Shape: testcases.ShapeFixed, Mean: 5}
	s := source(t, testcases.Traffic{File: "f", Format: testcases.FormatShareGPT, Turns: five,
		ThinkS: &testcases.Distribution{Shape: testcases.ShapeFixed, Mean: 0.5}}, samples[testcases.FormatShareGPT])
	c := s.Session(1)
	if len(c.Turns) != 2 || c.System != "be kind" || c.Turns[0].Think != 0 ||
		c.Turns[1].Think != 500*time.Millisecond {
		t.Errorf("%+v", c)
	}
	alone := source(t, testcases.Traffic{File: "f", Format: testcases.FormatShareGPT},
		samples[testcases.FormatShareGPT])
	if n := len(alone.Session(1).Turns); n != 1 {
		t.Errorf("%d turns without turns, want 1", n)
	}
	made := source(t, testcases.Traffic{Input: five, Turns: five}, "")
	if n := len(made.Session(0).Turns); n != 5 {
		t.Errorf("%d turns, want 5", n)
	}
}
