package dataset

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
)

// golden.json holds the stems of 4,000 words by NLTK 3.8's PorterStemmer. Its ROUGE scores were computed from these
// stems without this package, by the definitions of rouge_score, which MLPerf's Mixtral task uses.
func TestRougeAndStemsEqualTheReference(t *testing.T) {
	data, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Stems map[string]string
		Rouge []struct {
			Reference, Candidate   string
			Rouge1, Rouge2, RougeL float64
		}
	}
	if err := json.Unmarshal(data, &golden); err != nil {
		t.Fatal(err)
	}
	for w, want := range golden.Stems {
		if got := porterStem(w); got != want {
			t.Errorf("stem of %q is %q, want %q", w, got, want)
		}
	}
	for i, g := range golden.Rouge {
		got := ScoreRouge(g.Reference, g.Candidate)
		for name, pair := range map[string][2]float64{"rouge1": {got.One.F, g.Rouge1},
			"rouge2": {got.Two.F, g.Rouge2}, "rougeL": {got.L.F, g.RougeL}} {
			if math.Abs(pair[0]-pair[1]) > 1e-8 {
				t.Errorf("pair %d: %s is %.9f, want %.9f", i, name, pair[0], pair[1])
			}
		}
	}
}

func TestRougeProperties(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		word := rapid.SampledFrom([]string{"cat", "sat", "mats", "running", "the", "a", "1"})
		a := strings.Join(rapid.SliceOfN(word, 0, 12).Draw(t, "a"), " ")
		b := strings.Join(rapid.SliceOfN(word, 0, 12).Draw(t, "b"), " ")
		ab, ba := ScoreRouge(a, b), ScoreRouge(b, a)
		if math.Abs(ab.One.F-ba.One.F) > 1e-12 || math.Abs(ab.L.F-ba.L.F) > 1e-12 ||
			ab.One.Precision != ba.One.Recall {
			t.Errorf("%+v and %+v do not mirror each other", ab, ba)
		}
		if ab.L.F > ab.One.F+1e-12 {
			t.Errorf("the common subsequence %v is longer than the common words %v", ab.L.F, ab.One.F)
		}
		if self := ScoreRouge(a, a); a != "" && (self.One.F != 1 || self.L.F != 1) {
			t.Errorf("%q against itself: %+v", a, self)
		}
	})
}

func TestReadKnowsTheShapes(t *testing.T) {
	items, err := Read(strings.NewReader(`
{"question":"Natalia sold 48 clips in April and half as many in May. How many altogether?","answer":"48/2 = 24 in May. 48+24 = 72.\n#### 1,072"}
{"task_id":"HumanEval/0","prompt":"def close(xs):\n","entry_point":"close","canonical_solution":"  return True\n","test":"def check(f): assert f([])"}
{"task_id":601,"text":"Write a function to add.","code":"def helper(a):\n  return a\ndef add(a, b):\n  return a+b","test_list":["assert add(1,2)==3"]}
{"id":"niv.1","system_prompt":"Be brief.","question":"Who wrote Faust?","response":"Goethe wrote it."}
{"id":"c1","conversations":[{"from":"human","value":"Hi"},{"from":"gpt","value":"Hello!"},{"from":"human","value":"Bye"}]}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []Item{
		{ID: "2", Kind: Math, Reference: "1072"},
		{ID: "HumanEval/0", Kind: Code, Entry: "close"},
		{ID: "601", Kind: Code, Entry: "add"},
		{ID: "niv.1", Kind: Chat, System: "Be brief.", Reference: "Goethe wrote it."},
		{ID: "c1", Kind: Chat, Reference: "Hello!"},
	}
	if len(items) != len(want) {
		t.Fatalf("%d items, want %d", len(items), len(want))
	}
	for i, w := range want {
		g := items[i]
		if g.ID != w.ID || g.Kind != w.Kind || g.Entry != w.Entry || g.System != w.System || w.Reference != "" &&
			g.Reference != w.Reference || g.Prompt == "" {
			t.Errorf("item %d is %+v, want %+v", i, g, w)
		}
	}
}

func TestReadNamesTheLine(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"empty", "\n\n", "holds no item"},
		{"not JSON", "{}x\n", "line 1"},
		{"no shape", `{"foo":1}`, "none of the known shapes"},
		{"answer without a number", `{"question":"q","answer":"#### many"}`, `"many"`},
		{"one turn", "\n" + `{"conversations":[{"from":"human","value":"x"}]}`, "line 2: conversations"},
		{"code without prompt", `{"entry_point":"f"}`, "prompt: is empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Read(strings.NewReader(c.in))
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want it to hold %q", err, c.want)
			}
		})
	}
}

// The rule of MLPerf's accuracy script: the number after the last "The answer is", else the last number, before the
// next question.
func TestFinalNumber(t *testing.T) {
	for _, c := range []struct {
		response string
		want     float64
		ok       bool
	}{
		{"The answer is 72.", 72, true},
		{"The answer is $1,234.50, which is 3 more.", 1234.5, true},
		{"48 + 24 = 72", 72, true},
		{"The answer is clear: all of them. There are 7.", 7, true},
		{"It is -5.", -5, true},
		{"The answer is 3.\nQ: What is 8 + 1?\nThe answer is 9.", 3, true},
		{"none", 0, false},
	} {
		got, ok := finalNumber(c.response)
		if got != c.want || ok != c.ok {
			t.Errorf("%q gives %g, %t; want %g, %t", c.response, got, ok, c.want, c.ok)
		}
	}
}

func TestEvaluateCountsMissingAsWrong(t *testing.T) {
	items := []Item{
		{ID: "1", Kind: Math, Reference: "4"}, {ID: "2", Kind: Math, Reference: "5"},
		{ID: "3", Kind: Code, Entry: "add"}, {ID: "4", Kind: Chat, Reference: "the cat sat"},
		{ID: "5", Kind: Chat, Reference: "the cat sat"},
	}
	r := Evaluate(items, map[string]string{"1": "It is 4", "3": "```python\ndef add(a, b):\n  return a+b\n```",
		"4": "the cat sat"})
	want := Result{Math: 2, ExactMatch: 50, Chat: 2, Rouge1: 50, Rouge2: 50, RougeL: 50, Code: 1, Defined: 100,
		Missing: 2}
	if r != want {
		t.Errorf("%+v, want %+v", r, want)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(`{"question":"q","answer":"a #### 3"}`)
	f.Add(`{"conversations":[{"from":"human","value":"Hi"},{"from":"gpt","value":"Hello!"}]}`)
	f.Add("{\"task_id\":1,\"text\":\"t\",\"test_list\":[\"assert f(1)\"]}\n\xff")
	f.Fuzz(func(t *testing.T, data string) {
		items, err := Read(strings.NewReader(data))
		if err != nil {
			return
		}
		for _, it := range items {
			if it.Kind == "" || it.ID == "" {
				t.Errorf("item %+v has no kind or no ID", it)
			}
			it.Correct(data)
			it.Defines(data)
		}
	})
}

func FuzzRouge(f *testing.F) {
	f.Add("The cats are running", "a cat ran")
	f.Add("yyy\xff", "")
	f.Fuzz(func(t *testing.T, a, b string) {
		r := ScoreRouge(a, b)
		for _, v := range []float64{r.One.F, r.Two.F, r.L.F, r.L.Precision, r.L.Recall} {
			if !(v >= 0 && v <= 1) {
				t.Errorf("%v is not in [0, 1]", v)
			}
		}
	})
}
