package quality

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// expectedAnswers returns the checkable answers, any one of which is right: those of the rubric, or the value of an
// arithmetic expression that the prompt asks for.
func expectedAnswers(in Input) []string {
	if in.Rubric != nil && len(in.Rubric.Answers) > 0 {
		return in.Rubric.Answers
	}
	if v, ok := askedSum(in.Prompt); ok {
		return []string{strconv.FormatFloat(math.Round(v*1e6)/1e6, 'f', -1, 64)}
	}
	return nil
}

// exact scores whether the response states one of the answers: in whole words, not negated, and not as one of several
// possibilities. Of numbers the conclusion counts, and not intermediate results.
func exact(response string, answers []string) Part {
	tokens := answerTokens(response)
	want := strings.Join(answers, " or ")
	verdict := func(ok bool, why string) Part {
		return part(Relevance, "answer", is(ok), "%s", why)
	}
	if slices.ContainsFunc(answers,
		func(a string) bool { return strings.TrimSpace(response) == strings.TrimSpace(a) }) {
		return verdict(true, "is exactly "+want)
	}
	if yes := slices.Contains([]string{"yes", "no"}, strings.ToLower(answers[0])); yes && len(answers) == 1 {
		i := slices.IndexFunc(tokens, func(t answerToken) bool { return t.text == "yes" || t.text == "no" })
		if i < 0 {
			return verdict(false, "says neither yes nor no")
		}
		return verdict(tokens[i].text == strings.ToLower(answers[0]), "says "+tokens[i].text+", expected "+want)
	}
	var values []float64
	for _, a := range answers {
		if t := answerTokens(a); len(t) == 1 && t[0].number {
			values = append(values, t[0].value)
		}
	}
	if len(values) == len(answers) {
		ok, why := statesNumber(tokens, values)
		return verdict(ok, why+", expected "+want)
	}
	ok, why := statesPhrase(conclusion(tokens), answers)
	return verdict(ok, why)
}

// conclusion returns what follows the last "answer" or "answer is" in its sentence, or everything if there is no such
// phrase. So names that are mentioned before the conclusion do not count.
func conclusion(tokens []answerToken) []answerToken {
	for i := len(tokens) - 1; i >= 0; i-- {
		if tokens[i].text != "answer" {
			continue
		}
		rest := tokens[i+1:]
		if len(rest) > 0 && rest[0].text == "is" {
			rest = rest[1:]
		}
		end := slices.IndexFunc(rest, func(t answerToken) bool { return t.text == "." })
		if end < 0 {
			end = len(rest)
		}
		if end > 0 {
			return rest[:end]
		}
	}
	return tokens
}

// answerToken is a word, a number, an equals sign, an operator or the end of a sentence (".").
type answerToken struct {
	text   string
	number bool
	value  float64
}

var tokenPattern = regexp.MustCompile(`\d(?:[\d,]*\d)?(?:\.\d+)?(?:st|nd|rd|th)?\b|\d(?:[\d,]*\d)?(?:\.\d+)?|\pL[\pL\pN]*(?:['’-]\pL[\pL\pN]*)*|####|[=+*×·/÷^()−–-]|[.!?\n;]`)

func answerTokens(s string) []answerToken {
	var out []answerToken
	low := strings.ToLower(s)
	for _, at := range tokenPattern.FindAllStringIndex(low, -1) {
		t := answerToken{text: low[at[0]:at[1]]}
		switch c := t.text[0]; {
		case isDigit(c):
			v, err := strconv.ParseFloat(strings.ReplaceAll(t.text, ",", ""), 64)
			t.number, t.value = err == nil, v // "29th" is not a number
			if n := len(out); n > 0 && (out[n-1].text == "-" || out[n-1].text == "−") && at[0] > 0 &&
				low[at[0]-1] != ' ' && (n == 1 || !operand(out[n-2])) {
				out = out[:n-1]
				t.value = -t.value
			}
		case t.text == ";" || t.text == "\n" || t.text == "!" || t.text == "?":
			t.text = "."
		default:
			if v, ok := numberWord(t.text); ok {
				t.number, t.value = true, v
			}
		}
		out = append(out, t)
	}
	return out
}

// operand reports whether a minus after t is a subtraction and not the sign of a number.
func operand(t answerToken) bool { return t.number || t.text == ")" || isLetter(t.text) }

func isLetter(s string) bool { return s != "" && (s[0] >= 'a' && s[0] <= 'z' || s[0] >= 0x80) }

var numberWords = strings.Fields("zero one two three four five six seven eight nine ten eleven twelve thirteen " +
	"fourteen fifteen sixteen seventeen eighteen nineteen")
var tens = strings.Fields("twenty thirty forty fifty sixty seventy eighty ninety")

// numberWord reads "seven", "twenty", "twenty-five".
func numberWord(w string) (float64, bool) {
	if i := slices.Index(numberWords, w); i >= 0 {
		return float64(i), true
	}
	head, tail, compound := strings.Cut(w, "-")
	i := slices.Index(tens, head)
	if i < 0 {
		return 0, false
	}
	v := float64(20 + 10*i)
	if compound {
		j := slices.Index(numberWords, tail)
		if j < 1 || j > 9 {
			return 0, false
		}
		v += float64(j)
	}
	return v, true
}

var (
	asserting  = set("= is equals equal makes make gives give are be get was it's that's")
	concluding = set("answer result total altogether therefore thus hence so finally final get conclusion correct sum")
	denying    = set("not isn't never neither nor aren't wasn't than instead")
	operators  = set("+ - − – * × · / ÷ ^ plus minus times")
)

// statesNumber decides which number the response states in the end, and whether it is a wanted one. The text is the
// reason.
func statesNumber(tokens []answerToken, want []float64) (bool, string) {
	type claim struct {
		value            float64
		at               int
		marked, conclude bool // after "is" or "="; in a sentence with a word of conclusion
	}
	var all, strong []claim
	sentence, concludes, first := 0, false, true
	firstEnd := len(tokens)
	for i, t := range tokens {
		switch {
		case t.text == ".":
			if first && len(all) > 0 {
				firstEnd, first = i, false
			}
			sentence, concludes = i+1, false
			continue
		case concluding[t.text] || t.text == "####":
			concludes = true
		}
		if !t.number {
			continue
		}
		next := ""
		if i+1 < len(tokens) {
			next = tokens[i+1].text
		}
		if operators[next] && i+2 < len(tokens) && tokens[i+2].number || next == "=" || t.text == "one" &&
			next != "." && next != "" {
			continue // an operand, or "one" as a pronoun
		}
		if i > sentence && (denying[tokens[i-1].text] || i > sentence+1 && denying[tokens[i-2].text] &&
			!tokens[i-1].number) {
			continue
		}
		if hedged(tokens, i) {
			return false, "leaves it open between " + t.text + " and another"
		}
		c := claim{value: t.value, at: i, conclude: concludes}
		c.marked = i > sentence && asserting[tokens[i-1].text] || concludes && i > sentence &&
			(tokens[i-1].text == "answer" || tokens[i-1].text == "####")
		all = append(all, c)
		if c.marked || concludes {
			strong = append(strong, c)
		}
	}
	right := func(c claim) bool {
		return slices.ContainsFunc(want, func(w float64) bool {
			return math.Abs(c.value-w) <= 1e-6*math.Max(1, math.Abs(w)) || w != math.Trunc(w) &&
				math.Abs(c.value-w) <= 0.005
		})
	}
	if len(all) == 0 {
		return false, "states no number"
	}
	if len(strong) == 0 {
		last := all[len(all)-1]
		// "366 days, one more than the usual 365": if no result is marked, the first sentence may state it and
		// continue.
		lead := all[0].at < firstEnd && right(all[0])
		return right(last) || lead, "ends with " + tokens[last.at].text
	}
	last := strong[len(strong)-1]
	if right(last) {
		return true, "concludes " + tokens[last.at].text
	}
	for _, c := range strong {
		if c.conclude && !right(c) && c.at > firstEnd {
			return false, "concludes " + tokens[c.at].text
		}
	}
	if all[0].at < firstEnd && right(all[0]) && !last.conclude {
		return true, "states " + tokens[all[0].at].text + " first"
	}
	return false, "concludes " + tokens[last.at].text
}

// hedged reports whether the number at i is one of two possibilities: "4 or 5".
func hedged(tokens []answerToken, i int) bool {
	return i+2 < len(tokens) && tokens[i+1].text == "or" && tokens[i+2].number && tokens[i+2].value != tokens[i].value
}

// statesPhrase looks for the words of an answer in order. It ignores "and" and dashes between items.
func statesPhrase(tokens []answerToken, answers []string) (bool, string) {
	plain := func(in []answerToken) []string {
		var out []string
		for _, t := range in {
			if t.text != "and" && t.text != "-" && t.text != "–" {
				out = append(out, t.text)
			}
		}
		return out
	}
	said := plain(tokens)
	said = slices.DeleteFunc(said, func(t string) bool { return t == "." })
	for _, a := range answers {
		phrase := slices.DeleteFunc(plain(answerTokens(a)), func(t string) bool { return t == "." })
		if len(phrase) == 0 {
			continue
		}
		for i := 0; i+len(phrase) <= len(said); i++ {
			if !slices.Equal(said[i:i+len(phrase)], phrase) {
				continue
			}
			if i > 0 && denying[said[i-1]] || i > 1 && denying[said[i-2]] && !isDigit(said[i-1][0]) {
				return false, "denies " + a
			}
			end := i + len(phrase)
			if (end < len(said) && said[end] == "or" || i > 0 && said[i-1] == "or") &&
				slices.ContainsFunc(said, func(t string) bool {
					return t == "maybe" || t == "either" ||
						t == "could" || t == "might"
				}) {
				return false, "leaves it open between " + a + " and another"
			}
			return true, "gives " + a
		}
	}
	return false, "does not give " + strings.Join(answers, " or ")
}

var sumPattern = regexp.MustCompile(`(?i)^(?:(?:please|can you|could you)\s+)?(?:what is|what's|what does|calculate|compute|evaluate|solve|work out|how much is|add up)[:\s]+([\d\s.,+*/×x÷·^()−–-]+?)\s*(?:equal|make|=)?\s*[?.=!]*\s*$`)

var spokenOperators = strings.NewReplacer(" plus ", " + ", " minus ", " - ", " times ", " * ", " multiplied by ",
	" * ", " divided by ", " / ", "×", "*", "·", "*", "÷", "/", "−", "-", "–", "-", " x ", " * ", ",", "")

// askedSum evaluates the prompt if it only asks for the value of an expression: "What is 17 × 3?".
func askedSum(prompt string) (float64, bool) {
	m := sumPattern.FindStringSubmatch(spokenOperators.Replace(strings.TrimSpace(prompt)))
	if m == nil || len(m[1]) > 200 || !strings.ContainsAny(m[1], "+-*/") {
		return 0, false
	}
	p := sumParser{text: strings.ReplaceAll(m[1], " ", "")}
	v := p.sum()
	if p.failed || p.at != len(p.text) || math.IsInf(v, 0) || math.IsNaN(v) {
		return 0, false
	}
	return v, true
}

// sumParser is a recursive descent parser for + - * / and parentheses. Its input has 200 bytes at most, which bounds
// the depth.
type sumParser struct {
	text   string
	at     int
	failed bool
}

func (p *sumParser) peek() byte {
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

func (p *sumParser) sum() float64 {
	v := p.product()
	for !p.failed && (p.peek() == '+' || p.peek() == '-') {
		op := p.peek()
		p.at++
		if w := p.product(); op == '+' {
			v += w
		} else {
			v -= w
		}
	}
	return v
}

func (p *sumParser) product() float64 {
	v := p.factor()
	for !p.failed && (p.peek() == '*' || p.peek() == '/') {
		op := p.peek()
		p.at++
		if w := p.factor(); op == '*' {
			v *= w
		} else {
			v /= w
		}
	}
	return v
}

func (p *sumParser) factor() float64 {
	switch c := p.peek(); {
	case c == '-':
		p.at++
		return -p.factor()
	case c == '(':
		p.at++
		v := p.sum()
		if p.peek() != ')' {
			p.failed = true
		}
		p.at++
		return v
	}
	start := p.at
	for isDigit(p.peek()) || p.peek() == '.' {
		p.at++
	}
	v, err := strconv.ParseFloat(p.text[start:p.at], 64)
	p.failed = p.failed || err != nil
	return v
}
