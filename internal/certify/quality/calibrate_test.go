package quality

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
)

// The recorded calibration is what this code computes. -update records it again.
func TestCalibrationIsRecorded(t *testing.T) {
	got := Calibrate()
	if *update {
		data, err := json.MarshalIndent(got, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("calibration.json", append(data, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	// Another platform may round a score differently in its last digit.
	if d := cmp.Diff(Calibration(), got, cmpopts.EquateApprox(0, 0.01),
		cmpopts.IgnoreFields(Rate{}, "Count")); d != "" {
		t.Errorf("run go test -run Recorded -update:\n%s", d)
	}
}

// How well scores must separate good answers from bad ones, on prompts that were not used for fitting.
func TestScoresTellGoodFromBadOnTheHeldOutHalf(t *testing.T) {
	h := Calibration().HeldOut
	if h.AUC.Value < 0.97 {
		t.Errorf("AUC over all is %.3f, want at least 0.97", h.AUC.Value)
	}
	if h.FalsePass.Value > 0.05 {
		t.Errorf("%d of %d bad answers pass, at most 5 %% may", h.FalsePass.Count, h.FalsePass.Of)
	}
	if h.FalseFail.Value > 0.05 {
		t.Errorf("%d of %d good answers fail, at most 5 %% may", h.FalseFail.Count, h.FalseFail.Of)
	}
	for _, c := range h.Corruptions {
		if c.AUC.Value < 0.9 {
			t.Errorf("AUC on %s is %.3f, want at least 0.9", c.Kind, c.AUC.Value)
		}
		if c.Bad < 40 {
			t.Errorf("%s has %d answers: too few to say anything", c.Kind, c.Bad)
		}
	}
}

// The labelled set is as documented: large, with many prompts, every answer once, in two halves of similar size.
func TestLabelledSetIsSound(t *testing.T) {
	seen := map[string]string{}
	good, bad, own, bare := 0, 0, 0, 0
	forms := map[string]bool{}
	for _, topic := range labelled() {
		if topic.prompt.Rubric == nil { // scored by its own words, like a prompt on the command line
			bare++
		} else {
			forms[topic.prompt.Rubric.Form] = true
		}
		if !slices.Contains([]string{"reasoning", "analysis", "generation"}, topic.prompt.Category) {
			own++
		}
		for _, e := range topic.examples {
			if other, twice := seen[e.text]; twice && e.text != "" {
				t.Errorf("%s repeats an answer of %s: %.40q", topic.prompt.Key(), other, e.text)
			}
			seen[e.text] = topic.prompt.Key()
			if e.label == "good" {
				good++
			} else {
				bad++
			}
			if strings.TrimSpace(e.text) == "" {
				t.Errorf("%s has an empty answer %q", topic.prompt.Key(), e.kind)
			}
		}
	}
	if good < 180 || bad < 100 || own < 25 || len(forms) < 11 {
		t.Errorf("%d good and %d bad answers to %d prompts of our own in %d forms; the promise is 180, 100, 25 and "+
			"11", good, bad, own, len(forms))
	}
	if bare < 10 || bare > own/2 {
		t.Errorf("%d of %d prompts have no rubric", bare, own)
	}
	r := Calibration()
	if r.Development.Prompts < own/3 || r.HeldOut.Prompts < own/3 {
		t.Errorf("the halves have %d and %d prompts", r.Development.Prompts, r.HeldOut.Prompts)
	}
}

func TestParseLabelledNamesTheLine(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"text first", "hello\n", "line 1: text before the first prompt"},
		{"key", "@ nokey\n", "line 1: a prompt's key"},
		{"no prompt", "@ a/b\n= good x\ntext\n", "line 2: the prompt has no text"},
		{"label", "@ a/b\nprompt: p\n= fine x\n", "line 3: must be good or bad"},
		{"kind", "@ a/b\nprompt: p\n= good\n", "line 3: must be good or bad, and a kind"},
		{"header", "@ a/b\nprompts: p\n", "line 2:"},
		{"rubric", "@ a/b\nprompt: p\nrubric: {\"from\":\"x\"}\n", "line 3:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := parseLabelled(c.in); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestCorruptionsSpoilOnlyWhatTheySay(t *testing.T) {
	set := labelled()
	for i, topic := range set {
		for k, e := range topic.examples {
			if e.label != good {
				continue
			}
			d := read(topic.input(e.text))
			rng := rand.New(rand.NewPCG(9, uint64(i<<8|k)))
			if s, ok := corrupt(rng, Shuffled, d, nil); ok {
				if got, want := sortedWords(s), sortedWords(e.text); !slices.Equal(got, want) {
					t.Errorf("%s: shuffling sentences changed the words of %.40q", topic.prompt.Key(), e.text)
				}
			}
			if s, ok := corrupt(rng, Truncated, d, nil); ok && !strings.HasPrefix(strings.TrimSpace(e.text), s) {
				t.Errorf("%s: a truncated answer is not a beginning of the answer", topic.prompt.Key())
			}
		}
	}
}

func sortedWords(s string) []string {
	w := words(s)
	slices.Sort(w)
	return w
}

// Small cases that can be checked by hand: 3 of 4 pairs are in order, one is a tie.
func TestAUC(t *testing.T) {
	for _, c := range []struct {
		name     string
		pos, neg []float64
		want     float64
	}{
		{"apart", []float64{0.9, 1}, []float64{0.1, 0.2}, 1},
		{"reversed", []float64{0.1}, []float64{0.2, 0.3}, 0},
		{"equal", []float64{0.5, 0.5}, []float64{0.5}, 0.5},
		{"mixed", []float64{0.4, 0.8}, []float64{0.4, 0.2}, 0.875},
		{"nothing", nil, []float64{1}, 0.5},
	} {
		got := auc(c.pos, c.neg, 1)
		if math.Abs(got.Value-c.want) > 1e-12 || got.Low > got.Value || got.High < got.Value || got.Low < 0 ||
			got.High > 1 {
			t.Errorf("%s: %+v, want %g inside its interval", c.name, got, c.want)
		}
	}
	if wide := auc([]float64{1, 1}, []float64{0, 0}, 1); wide.Low > 0.9 {
		t.Errorf("four answers that do not overlap give an interval from %.3f: that is too sure", wide.Low)
	}
}

// Wilson's interval for 5 of 100 is 2.2 to 11.2 %.
func TestRate(t *testing.T) {
	r := rate(5, 100, 1)
	if math.Abs(r.Low-0.0215) > 5e-4 || math.Abs(r.High-0.1118) > 5e-4 {
		t.Errorf("rate(5, 100) = %+v", r)
	}
	if grouped := rate(15, 300, 3); grouped.Value != r.Value || grouped.Low != r.Low {
		t.Errorf("three draws of each of 100 cases are no more evidence: %+v", grouped)
	}
	if r := rate(0, 0, 1); r.Low != 0 || r.High != 1 {
		t.Errorf("a rate of nothing is known to %+v", r)
	}
}

func TestAUCIsSymmetric(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		scores := rapid.SliceOfN(rapid.Float64Range(0, 1), 1, 20)
		pos, neg := scores.Draw(t, "pos"), scores.Draw(t, "neg")
		a, b := auc(pos, neg, 1), auc(neg, pos, 1)
		if math.Abs(a.Value+b.Value-1) > 1e-9 || math.Abs(a.Low+b.High-1) > 1e-6 {
			t.Errorf("%+v and %+v do not mirror each other", a, b)
		}
	})
}

func BenchmarkCalibrate(b *testing.B) {
	for b.Loop() {
		calibrate(labelled(), calibrationSeed)
	}
}
