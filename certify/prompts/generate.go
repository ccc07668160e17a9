package prompts

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// ErrOptions matches every error about the options of Generate.
var ErrOptions = errors.New("invalid options")

// Categories and their levels, as in TC-L1-COMP-MIXTRAL-003.
var (
	Categories = []string{"reasoning", "analysis", "generation"}
	levelsOf   = map[string][]string{
		"reasoning":  {"simple", "medium", "complex"},
		"analysis":   {"simple", "medium", "complex"},
		"generation": {"simple", "medium", "creative"},
	}
)

// maxCount and maxTokens limit one generated file. They are far above what a load test needs, and such a file still
// fits into memory.
const (
	maxCount  = 100_000
	maxTokens = 30_000 // Mixtral's context is 32,768
)

// Options say what Generate makes.
type Options struct {
	Seed       uint64
	Categories []string // empty: all
	Levels     []string // empty: all levels of the categories
	Tokens     int      // estimated length of each prompt, in tokens; 0: only the question
	Count      int      // number of prompts; 0: one of each category and level
}

// combo is a category and one of its levels.
type combo struct{ category, level string }

// levelNames lists the levels of some categories, without repetitions.
func levelNames(categories []string) string {
	var names []string
	for _, c := range categories {
		for _, l := range levelsOf[c] {
			if !slices.Contains(names, l) {
				names = append(names, l)
			}
		}
	}
	return strings.Join(names, ", ")
}

func (o Options) combos() ([]combo, error) {
	categories := o.Categories
	if len(categories) == 0 {
		categories = Categories
	}
	var all []combo
	used := map[string]bool{}
	for _, c := range categories {
		levels, ok := levelsOf[c]
		if !ok {
			return nil, fmt.Errorf("%w: unknown category %q; known categories: %s", ErrOptions, c,
				strings.Join(Categories, ", "))
		}
		for _, l := range levels {
			if len(o.Levels) == 0 || slices.Contains(o.Levels, l) {
				all = append(all, combo{c, l})
				used[l] = true
			}
		}
	}
	for _, l := range o.Levels {
		if !used[l] {
			return nil, fmt.Errorf("%w: unknown level %q; known levels: %s", ErrOptions, l, levelNames(categories))
		}
	}
	switch {
	case o.Count < 0 || o.Count > maxCount:
		return nil, fmt.Errorf("%w: count: must be between 0 and %d, got %d", ErrOptions, maxCount, o.Count)
	case o.Tokens < 0 || o.Tokens > maxTokens:
		return nil, fmt.Errorf("%w: tokens: must be between 0 and %d, got %d", ErrOptions, maxTokens, o.Tokens)
	}
	return all, nil
}

// Generate makes prompts with rubrics. The same options make the same prompts. The first of each category and level
// has the plain key ("reasoning/simple"), and later ones have a number ("reasoning/simple-2"). If Tokens is larger
// than the question, background notes that do not change the answer are added before it. Errors match ErrOptions.
func Generate(o Options) (*Set, error) {
	combos, err := o.combos()
	if err != nil {
		return nil, err
	}
	count := o.Count
	if count == 0 {
		count = len(combos)
	}
	s := &Set{Prompts: make([]Prompt, 0, count)}
	made := map[string]bool{}
	for i := range count {
		c := combos[i%len(combos)]
		p := Prompt{Category: c.category, Level: c.level}
		if n := i / len(combos); n > 0 {
			p.Level += "-" + strconv.Itoa(n+1)
		}
		// A cache could answer a repeated question, so a repetition is accepted only after 20 more tries.
		for try := uint64(0); ; try++ {
			g := &generator{rand.New(rand.NewPCG(o.Seed, uint64(i)<<8|try))}
			p.Text, p.Rubric = g.question(c)
			if !made[p.Text] || try == 20 {
				made[p.Text] = true
				p.Text = g.pad(p.Text, o.Tokens)
				break
			}
		}
		s.Prompts = append(s.Prompts, p)
	}
	return s, nil
}

// generator draws questions.
type generator struct{ *rand.Rand }

func (g *generator) pick(list []string) string { return list[g.IntN(len(list))] }

// some draws n different entries of a list.
func (g *generator) some(list []string, n int) []string {
	out := slices.Clone(list)
	g.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out[:n]
}

// between draws a number from lo to hi, inclusive.
func (g *generator) between(lo, hi int) int { return lo + g.IntN(hi-lo+1) }

func (g *generator) question(c combo) (string, *Rubric) {
	kinds := map[combo][]func() (string, *Rubric){
		{"reasoning", "simple"}:    {g.sum, g.sequence, g.conversion},
		{"reasoning", "medium"}:    {g.sorting, g.shopping, g.weekday, g.tallest},
		{"reasoning", "complex"}:   {g.production, g.journey, g.queue},
		{"analysis", "simple"}:     {g.invoice, g.countKind},
		{"analysis", "medium"}:     {g.table, g.offers},
		{"analysis", "complex"}:    {g.growth, g.proposal},
		{"generation", "simple"}:   {g.story},
		{"generation", "medium"}:   {g.plan, g.letter},
		{"generation", "creative"}: {g.poem},
	}[c]
	return kinds[g.IntN(len(kinds))]()
}

// pad adds background sentences before a question until the estimate reaches tokens. No sentence has a number or a
// name of a question.
func (g *generator) pad(question string, tokens int) string {
	if EstimateTokens(question) >= tokens {
		return question
	}
	const head, tail = "Background notes, which are not needed for the answer:\n", "\n\nNow the question:\n"
	var b strings.Builder
	need := tokens - EstimateTokens(head+tail+question)
	for need > 0 {
		line := g.pick(noteSubjects) + " " + g.pick(noteVerbs) + " " + g.pick(noteObjects) + " " + g.pick(noteEnds) +
			"."
		line = strings.ToUpper(line[:1]) + line[1:]
		if cost := EstimateTokens(line); cost > need && need < cost/2 {
			break
		} else {
			need -= cost
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(line)
	}
	if b.Len() == 0 {
		return question
	}
	return head + b.String() + tail + question
}

// Encode writes a set as a prompt file that Load reads back.
func (s *Set) Encode() ([]byte, error) {
	var b bytes.Buffer
	quote := func(v any) error {
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil {
			return err
		}
		b.Truncate(b.Len() - 1) // removes the line feed that json.Encoder adds
		return nil
	}
	b.WriteString("{\n")
	var categories []string
	for _, p := range s.Prompts {
		if !slices.Contains(categories, p.Category) {
			categories = append(categories, p.Category)
		}
	}
	for _, category := range categories {
		if err := quote(category); err != nil {
			return nil, err
		}
		b.WriteString(": {\n")
		first := true
		for _, p := range s.Prompts {
			if p.Category != category {
				continue
			}
			if !first {
				b.WriteString(",\n")
			}
			first = false
			b.WriteString("  ")
			if err := quote(p.Level); err != nil {
				return nil, err
			}
			b.WriteString(": ")
			if err := quote(p.Text); err != nil {
				return nil, err
			}
		}
		b.WriteString("\n},\n")
	}
	b.WriteString("\"schema_version\": 1,\n\"rubrics\": {\n")
	first := true
	for _, p := range s.Prompts {
		if p.Rubric == nil {
			continue
		}
		if !first {
			b.WriteString(",\n")
		}
		first = false
		b.WriteString("  ")
		if err := quote(p.Key()); err != nil {
			return nil, err
		}
		b.WriteString(": ")
		if err := quote(p.Rubric); err != nil {
			return nil, err
		}
	}
	b.WriteString("\n}\n}\n")
	return b.Bytes(), nil
}
