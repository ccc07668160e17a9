package prompts

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The rubric of a question with one right answer has that answer; the other rubrics have what a good answer must
// mention.

func number(n int) *Rubric { return &Rubric{Form: "answer", Answers: []string{strconv.Itoa(n)}} }

func word(w string) *Rubric { return &Rubric{Form: "answer", Answers: []string{w}} }

func (g *generator) sum() (string, *Rubric) {
	a, b, c := g.between(2, 99), g.between(2, 99), g.between(2, 12)
	switch g.IntN(4) {
	case 0:
		return fmt.Sprintf("What is %d + %d?", a, b), number(a + b)
	case 1:
		return fmt.Sprintf("What is %d - %d?", a+b, b), number(a)
	case 2:
		return fmt.Sprintf("What is %d × %d?", a, c), number(a * c)
	}
	return fmt.Sprintf("What is %d divided by %d?", a*c, c), number(a)
}

func (g *generator) sequence() (string, *Rubric) {
	start, step := g.between(1, 30), g.between(2, 15)
	list := make([]string, 5)
	for i := range list {
		list[i] = strconv.Itoa(start + i*step)
	}
	return fmt.Sprintf("Which number comes next: %s? Answer with the number only.", strings.Join(list, ", ")),
		number(start + 5*step)
}

func (g *generator) conversion() (string, *Rubric) {
	n := g.between(2, 40)
	u := []struct {
		from, to string
		factor   int
	}{{"hours", "minutes", 60}, {"kilometres", "metres", 1000}, {"weeks", "days", 7}, {"kilograms", "grams", 1000},
		{"dozens", "pieces", 12}}[g.IntN(5)]
	return fmt.Sprintf("How many %s are %d %s?", u.to, n, u.from), number(n * u.factor)
}

func (g *generator) sorting() (string, *Rubric) {
	n := g.between(5, 8)
	var list []int
	for len(list) < n {
		if v := g.between(1, 200); !slices.Contains(list, v) {
			list = append(list, v)
		}
	}
	asked := joinInts(list)
	order := "ascending"
	slices.Sort(list)
	if g.IntN(2) == 0 {
		order = "descending"
		slices.Reverse(list)
	}
	return fmt.Sprintf("Sort these numbers in %s order and give only the sorted list: %s.", order, asked),
		word(joinInts(list))
}

func joinInts(list []int) string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = strconv.Itoa(v)
	}
	return strings.Join(out, ", ")
}

func (g *generator) shopping() (string, *Rubric) {
	a, b := g.some(goods, 2), g.some(people, 1)
	n, m, p, q := g.between(2, 9), g.between(2, 9), g.between(2, 12), g.between(2, 12)
	paid := (n*p+m*q)/50*50 + 50
	return fmt.Sprintf("%s buys %d %s at %d euros each and %d %s at %d euros each, and pays with %d euros. How "+
		"many euros does %s get back?",
		b[0], n, a[0], p, m, a[1], q, paid, b[0]), number(paid - n*p - m*q)
}

func (g *generator) weekday() (string, *Rubric) {
	start, n := g.IntN(7), g.between(8, 100)
	return fmt.Sprintf("Today is %s. Which day of the week is it in %d days?", weekdays[start], n),
		word(weekdays[(start+n)%7])
}

func (g *generator) tallest() (string, *Rubric) {
	p := g.some(people, 4) // from the tallest to the shortest
	facts := []string{
		fmt.Sprintf("%s is taller than %s.", p[0], p[1]),
		fmt.Sprintf("%s is shorter than %s.", p[2], p[1]),
		fmt.Sprintf("%s is taller than %s.", p[2], p[3]),
	}
	g.Shuffle(len(facts), func(i, j int) { facts[i], facts[j] = facts[j], facts[i] })
	if g.IntN(2) == 0 {
		return strings.Join(facts, " ") + " Who is the tallest? Answer with the name only.", word(p[0])
	}
	return strings.Join(facts, " ") + " Who is the shortest? Answer with the name only.", word(p[3])
}

func (g *generator) production() (string, *Rubric) {
	item, machines, perHour, hours, days := g.pick(goods), g.between(2, 9), g.between(5, 40), g.between(6, 12),
		g.between(2, 6)
	broken, boxes := g.between(1, machines-1), []int{10, 12, 20}[g.IntN(3)]
	total := machines*perHour*hours*days + (machines-broken)*perHour*hours
	return fmt.Sprintf("A workshop has %d machines, and each makes %d %s an hour. It works %d hours a day. For %d "+
		"days all machines run; on the day after that, %d of them stand still. "+
		"All %s are packed into boxes of %d. How many full boxes are there in the end? Explain your steps and "+
		"finish with \"The answer is\" and the number.",
		machines, perHour, item, hours, days, broken, item, boxes), number(total / boxes)
}

func (g *generator) journey() (string, *Rubric) {
	v1, h1, v2, h2, rest := 10*g.between(4, 12), g.between(2, 5), 10*g.between(4, 12), g.between(2, 5),
		g.between(10, 90)
	who := g.pick(people)
	return fmt.Sprintf("%s drives for %d hours at %d kilometres an hour, rests, and then drives for %d hours at %d "+
		"kilometres an hour. After that, %d kilometres are left. "+
		"The car uses one litre for every 10 kilometres. How long is the whole way in kilometres? Explain your "+
		"steps and finish with \"The answer is\" and the number.",
		who, h1, v1, h2, v2, rest), number(v1*h1 + v2*h2 + rest)
}

func (g *generator) queue() (string, *Rubric) {
	p := g.some(people, 5)
	facts := []string{
		fmt.Sprintf("%s stands directly before %s.", p[0], p[1]),
		fmt.Sprintf("%s is the last.", p[4]),
		fmt.Sprintf("%s stands somewhere before %s.", p[1], p[2]),
		fmt.Sprintf("%s stands directly behind %s.", p[3], p[2]),
	}
	g.Shuffle(len(facts), func(i, j int) { facts[i], facts[j] = facts[j], facts[i] })
	k := g.IntN(5)
	names := slices.Clone(p)
	slices.Sort(names)
	return fmt.Sprintf("Five people stand in a queue: %s. %s Who stands in place %d, counted from the front? Think "+
		"step by step, then give the name in a last line that begins with \"Answer:\".",
		strings.Join(names, ", "), strings.Join(facts, " "), k+1), &Rubric{Form: "answer", Answers: []string{p[k]}}
}

func (g *generator) invoice() (string, *Rubric) {
	id := fmt.Sprintf("%s-%d", g.pick([]string{"INV", "RE", "ORD", "PO"}), g.between(10000, 99999))
	who, amount, room := g.pick(people), g.between(20, 900), g.between(100, 499)
	day := g.pick(weekdays)
	note := fmt.Sprintf("Dear team, please settle %s for %d euros by %s. Questions go to %s in room %d. The goods "+
		"were %s.", id, amount, day, who, room, g.pick(goods))
	switch g.IntN(3) {
	case 0:
		return "Give the document number from this note and nothing else: \"" + note + "\"", word(id)
	case 1:
		return "How many euros have to be paid according to this note? \"" + note + "\"", number(amount)
	}
	return "Who answers questions, according to this note? Give the name only. \"" + note + "\"", word(who)
}

func (g *generator) countKind() (string, *Rubric) {
	kinds := g.some(goods, 3)
	n := g.between(3, 9)
	var list []string
	for range n {
		list = append(list, kinds[0])
	}
	for range g.between(4, 12) {
		list = append(list, kinds[1+g.IntN(2)])
	}
	g.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return fmt.Sprintf("How often does the word \"%s\" occur in this list? %s.", kinds[0], strings.Join(list, ", ")),
		number(n)
}

func (g *generator) table() (string, *Rubric) {
	rows := g.some(cities, g.between(4, 6))
	var b strings.Builder
	b.WriteString("| City | Spring | Autumn |\n|---|---|---|\n")
	best, most := "", -1
	for _, c := range rows {
		s, a := g.between(10, 900), g.between(10, 900)
		for s+a == most {
			a++
		}
		if s+a > most {
			best, most = c, s+a
		}
		fmt.Fprintf(&b, "| %s | %d | %d |\n", c, s, a)
	}
	if g.IntN(2) == 0 {
		return "Which city sold the most over both seasons? Give the name only.\n\n" + b.String(), word(best)
	}
	return "How many pieces did the best city sell over both seasons together? Give the number only.\n\n" +
		b.String(), number(most)
}

func (g *generator) offers() (string, *Rubric) {
	a := g.some(companies, 2)
	item := g.pick([]string{"printers", "bicycles", "office chairs", "coffee machines"})
	text := fmt.Sprintf("Compare these two offers for %s, considering price, delivery, and service. %s asks %d "+
		"euros each, delivers in %d days and repairs on site for two years. "+
		"%s asks %d euros each, delivers in %d days and repairs only in its workshop.", item, a[0],
		g.between(300, 399), g.between(10, 20), a[1], g.between(200, 299), g.between(2, 6))
	return text, &Rubric{Form: "comparison",
		Points: []Point{{Name: a[0], Any: []string{a[0]}}, {Name: a[1], Any: []string{a[1]}}},
		Facets: []Point{{Name: "price", Any: []string{"price", "cheap", "expensive", "cost", "euro"}},
			{Name: "delivery", Any: []string{"deliver", "days", "fast", "slow"}},
			{Name: "service", Any: []string{"service", "repair", "workshop", "on site"}}}}
}

func (g *generator) growth() (string, *Rubric) {
	rows := g.some(departments, 4)
	rates := []int{10, 20, 30, 50}
	g.Shuffle(len(rates), func(i, j int) { rates[i], rates[j] = rates[j], rates[i] })
	var b strings.Builder
	best := ""
	for i, d := range rows {
		before := 10 * g.between(5, 90)
		fmt.Fprintf(&b, "The %s department spent %d thousand euros last year and %d thousand euros this year. ", d,
			before, before+before*rates[i]/100)
		if rates[i] == 50 {
			best = d
		}
	}
	return b.String() + "Which department's spending grew most in percent? Compare all four, then give its name in " +
		"a last line that begins with \"Answer:\".", word(best)
}

func (g *generator) proposal() (string, *Rubric) {
	what, where := g.pick(proposals), g.pick(cities)
	return fmt.Sprintf("Evaluate the following proposal for the city of %s: %s. Name its benefits, its costs, and "+
			"its risks, and end with a recommendation.", where, what),
		&Rubric{Form: "evaluation",
			Points: []Point{{Name: "the proposal", Any: append(significant(what), "proposal"), Weight: 2}},
			Facets: []Point{{Name: "benefits", Any: []string{"benefit", "advantage", "help", "improve", "reduce",
				"better"}}, {Name: "costs", Any: []string{"cost", "price", "expensive", "money", "budget", "fund",
				"euro"}},
				{Name: "risks", Any: []string{"risk", "danger", "problem", "fail", "however", "resist", "unless"}},
				{Name: "recommendation", Any: []string{"recommend", "should", "advise", "conclusion", "overall",
					"worth"}}}}
}

func (g *generator) story() (string, *Rubric) {
	hero, place, thing := g.pick(heroes), g.pick(places), g.pick(things)
	return fmt.Sprintf("Write a short story about %s who finds %s in %s.", hero, thing, place),
		&Rubric{Form: "story", Points: []Point{
			{Name: "the hero", Any: significant(hero), Weight: 2}, {Name: "the thing", Any: significant(thing)},
			{Name: "the place", Any: significant(place)}}}
}

func (g *generator) plan() (string, *Rubric) {
	project, facets := g.pick(projects), g.some([]string{"budget", "schedule", "team", "risks", "publicity"}, 3)
	terms := map[string][]string{"budget": {"budget", "cost", "price", "money", "fund", "euro", "dollar"},
		"schedule": {"schedule", "week", "month", "day", "date", "timeline", "deadline"},
		"team":     {"team", "people", "volunteer", "staff", "member", "helper", "role"},
		"risks":    {"risk", "problem", "backup", "rain", "fail", "insurance"},
		"publicity": {"publicity", "poster", "advert", "invite", "announce", "press", "social media",
			"newsletter"}}
	r := &Rubric{Form: "plan", Points: []Point{{Name: "the project", Any: significant(project), Weight: 2}}}
	for _, f := range facets {
		r.Facets = append(r.Facets, Point{Name: f, Any: terms[f]})
	}
	return fmt.Sprintf("Create a plan for %s. Cover %s, %s, and %s.", project, facets[0], facets[1], facets[2]), r
}

func (g *generator) letter() (string, *Rubric) {
	who, thing, day := g.pick(people), g.pick(goods), g.pick(weekdays)
	return fmt.Sprintf("Write a polite letter to %s that asks to move the delivery of the %s to %s.", who, thing,
			day), &Rubric{Points: []Point{
			{Name: "addressee", Any: []string{who}}, {Name: "delivery", Any: []string{"deliver", thing}, Weight: 2},
			{Name: "the new day", Any: []string{day}}, {Name: "courtesy",
				Any: []string{"please", "thank", "would", "kind", "regards", "appreciate", "grateful"}}}}
}

func (g *generator) poem() (string, *Rubric) {
	subject, image := g.pick(subjects), g.pick(images)
	return fmt.Sprintf("Compose a poem about %s that mentions %s.", subject, image),
		&Rubric{Form: "poem", Points: []Point{
			{Name: "the subject", Any: related[subject], Weight: 2}, {Name: "the image", Any: significant(image)}}}
}

// significant returns the words of a phrase that carry its meaning.
func significant(phrase string) []string {
	var out []string
	for _, w := range strings.Fields(phrase) {
		if w = strings.Trim(w, ",."); len(w) > 3 && !slices.Contains([]string{"with", "from", "that", "their", "into",
			"under", "behind", "every", "free"}, w) {
			out = append(out, w)
		}
	}
	return out
}
