package quality

import (
	"testing"

	"github.com/hxp-enterprise/mixtral/certify/prompts"
)

func TestCheckableAnswers(t *testing.T) {
	four := []string{"4", "four"}
	for _, c := range []struct {
		answers  []string
		response string
		right    bool
	}{
		{four, "4", true},
		{four, "Four!", true},
		{four, "4.0", true},
		{four, "2 + 2 = 4.", true},
		{four, "$2 + 2 = \\boxed{4}$", true},
		{four, "**Answer:** 4", true},
		{four, "The answer is 4, not 5.", true},
		{four, "Some say 5, but it is 4.", true},
		{four, "2 plus 2 makes four, which is one less than five.", true},
		{four, "Start at 2, count 3, then 4. So the result is 4.", true},
		{four, "It equals 4. Adding is the first thing that children of 6 learn.", true},
		{four, "5", false},
		{four, "2 + 2 is 5", false},
		{four, "2 + 2 = five", false},
		{four, "The answer is 22.", false},
		{four, "The result is not 4.", false},
		{four, "You may think of 4, but the answer is 5.", false},
		{four, "It is 4 or 5.", false},
		{four, "-4", false},
		{four, "2 + 2 = 4. Therefore the final answer is 5.", false},
		{four, "Adding numbers is easy.", false},
		{[]string{"150"}, "60 km/h × 2.5 h = 150 km", true},
		{[]string{"150"}, "In two hours it covers 120 km, in the last half hour 30. Altogether that makes 150.", true},
		{[]string{"150"}, "It covers 120 km.", false},
		{[]string{"1234.5"}, "The total is 1,234.50 euros.", true},
		{[]string{"-7"}, "x = -7", true},
		{[]string{"-7"}, "x = 7", false},
		{[]string{"42"}, "#### 42", true},
		{[]string{"25"}, "twenty-five", true},
		{[]string{"366"}, "A leap year has 366 days, one more than the usual 365. The extra day is 29 February.",
			true},
		{[]string{"Canberra"}, "The capital is Canberra, although many think of Sydney.", true},
		{[]string{"Canberra"}, "It is not Canberra but Sydney.", false},
		{[]string{"Canberra"}, "Sydney", false},
		{[]string{"Canberra"}, "It could be Canberra or Sydney.", false},
		{[]string{"3, 7, 19"}, "3, 7, and 19", true},
		{[]string{"3, 7, 19"}, "3 7 19", true},
		{[]string{"3, 7, 19"}, "3, 19, 7", false},
		{[]string{"no"}, "No, because others may do so too.", true},
		{[]string{"no"}, "Yes. There is no doubt.", false},
		{[]string{"yes"}, "I would say yes.", true},
		{[]string{"no"}, "Perhaps.", false},
		{[]string{"+"}, "+", true},
	} {
		p := exact(c.response, c.answers)
		if (p.Value == 1) != c.right {
			t.Errorf("%q for %q: %v (%s)", c.response, c.answers, p.Value, p.Why)
		}
	}
}

func TestSumsInPrompts(t *testing.T) {
	for _, c := range []struct {
		prompt string
		want   float64
		ok     bool
	}{
		{"What is 2 + 2?", 4, true},
		{"what's 17 × 3", 51, true},
		{"Calculate 12 * (3 + 4) - 10 / 4.", 81.5, true},
		{"What is 1,200 divided by 4?", 300, true},
		{"How much is 7 minus 12?", -5, true},
		{"What is -3 + 5?", 2, true},
		{"What is 5?", 0, false},
		{"What is 1 / 0?", 0, false},
		{"What is (2 + 3?", 0, false},
		{"List 5-10 ideas", 0, false},
		{"What is the capital of France?", 0, false},
		{"What is 2 + 2 in binary?", 0, false},
	} {
		got, ok := askedSum(c.prompt)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%q gives %g, %t; want %g, %t", c.prompt, got, ok, c.want, c.ok)
		}
	}
	for answer, pass := range map[string]bool{"51": true, "17 × 3 = 51.": true, "The product is 41.": false} {
		if r := Score(Input{Prompt: "What is 17 × 3?", Response: answer,
			Finish: "stop"}); (r.Score >= Threshold) != pass {
			t.Errorf("without a rubric %q scores %.2f%s", answer, r.Score, explain(r))
		}
	}
}

// Prompts without a rubric are scored by their own words.
func TestScoresWithoutRubric(t *testing.T) {
	for _, c := range []struct {
		prompt, response string
		pass             bool
	}{
		{"What is the capital of France?", "Paris.", true},
		{"How many legs does a spider have?", "A spider has eight legs.", true},
		{"How many legs does a spider have?", "Spiders are interesting animals.", false},
		{"Explain how a bicycle pump works.",
			"A bicycle pump pushes air through a valve into the tyre. When you press the handle down, a piston " +
				"squeezes the air in the cylinder until its pressure is higher than that in the tyre. The valve " +
				"opens and lets the air through, and then it closes again so that nothing escapes.", true},
		{"Explain how a bicycle pump works.",
			"The opera was first performed in Vienna in 1786. The audience demanded so many encores that the " +
				"emperor had to forbid them. It has remained in the repertoire ever since.", false},
		{"Translate \"good morning\" into French.", "Bonjour", true},
		{"Write a haiku about winter.",
			"Snow on the black branch,\na crow lifts off, and the white\nfalls twice in silence.", true},
		{"Write a haiku about winter.",
			"Winter is a season with low temperatures. It lasts from December to March in the northern hemisphere, " +
				"and many animals hibernate.", false},
		{"Name three fruits.", "Apples, pears and plums.", true},
		{"Warum ist der Himmel blau?",
			"Der Himmel ist blau, weil das Sonnenlicht an den Molekülen der Luft gestreut wird. Blaues Licht wird " +
				"stärker gestreut als rotes.", true},
		{"Tell me about volcanoes.", "Tell me about volcanoes.", false},
		{"Write a short story about a fox.", "I'm sorry, but I can't help with that.", false},
	} {
		r := Score(Input{Prompt: c.prompt, Response: c.response, Finish: "stop"})
		if (r.Score >= Threshold) != c.pass {
			t.Errorf("%q answered by %.60q scores %.2f%s", c.prompt, c.response, r.Score, explain(r))
		}
	}
}

// A rubric's answer takes precedence over the value of an expression in the prompt.
func TestRubricAnswersLead(t *testing.T) {
	in := Input{Prompt: "What is 2 + 2?", Response: "11", Finish: "stop",
		Rubric: &prompts.Rubric{Form: "answer", Answers: []string{"11"}}}
	if r := Score(in); r.Score < Threshold {
		t.Errorf("scores %.2f%s", r.Score, explain(r))
	}
}
