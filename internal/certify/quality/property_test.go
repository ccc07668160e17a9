package quality

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
)

// drawGood picks a good answer of the labelled set.
func drawGood(t *rapid.T) (topic, string) {
	set := labelled()
	topic := set[rapid.IntRange(0, len(set)-1).Draw(t, "topic")]
	var texts []string
	for _, e := range topic.examples {
		if e.label == good {
			texts = append(texts, e.text)
		}
	}
	return topic, rapid.SampledFrom(texts).Draw(t, "answer")
}

// Scores do not depend on what a reader cannot see: white space around the answer, and the line ends of another
// system.
func TestScoreIgnoresInvisibleThings(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		topic, text := drawGood(t)
		want := Score(topic.input(text)).Score
		for name, same := range map[string]string{
			"spaces around": " \n" + text + "\n\n ",
			"CRLF":          strings.ReplaceAll(text, "\n", "\r\n"),
			"curly quotes":  strings.ReplaceAll(text, "n't", "n’t"),
		} {
			if got := Score(topic.input(same)).Score; got != want {
				t.Errorf("%s: %v instead of %v for %.60q", name, got, want, text)
			}
		}
	})
}

// An answer that the server did not finish never passes. All parts of an answer are from 0 to 1 and have a reason.
func TestUnfinishedNeverPasses(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		topic, text := drawGood(t)
		in := topic.input(text)
		in.Finish = rapid.SampledFrom([]string{"length", "content_filter", "error"}).Draw(t, "finish")
		r := Score(in)
		if r.Score >= Threshold {
			t.Errorf("finish_reason %q scores %.2f", in.Finish, r.Score)
		}
		for _, p := range r.Parts {
			if p.Why == "" || p.Name == "" || !(p.Value >= 0 && p.Value <= 1) || p.Of != Relevance &&
				p.Of != Coherence && p.Of != Completeness {
				t.Errorf("part %+v", p)
			}
		}
	})
}

// An answer of a megabyte is only read up to a bound, whatever it repeats.
func TestHugeAnswers(t *testing.T) {
	for _, unit := range []string{"a. ", "word ", "- x\n", "\xff", "# h\n", "x = 1;\n", "{", "| a |\n", "```\n",
		"4 or 5 "} {
		in := Input{Prompt: "Compare a, b, and c.", Response: strings.Repeat(unit, 1<<20/len(unit)), Finish: "stop"}
		if r := Score(in); r.Score >= Threshold {
			t.Errorf("a megabyte of %q scores %.2f", unit, r.Score)
		}
	}
}
