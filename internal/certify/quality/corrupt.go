package quality

import (
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"unicode/utf8"
)

// The corruptions that scores must distinguish from good answers.
const (
	Shuffled  = "shuffled"  // the sentences of a good answer in random order
	OffTopic  = "off-topic" // a good answer to another prompt
	Truncated = "truncated" // a good answer cut somewhere inside
	Repeated  = "repeated"  // a loop
	Salad     = "salad"     // the words of a good answer in random order
	Foreign   = "language"  // another language, real or invented
	Empty     = "empty"     // nothing, or white space
	Parroted  = "parroted"  // the prompt repeated
	Keywords  = "keywords"  // the good answer's content words as a list
	Written   = "written"   // not generated: the bad answers of the set that were written by hand
)

// Corruptions lists the generated kinds in the order of reports.
var Corruptions = []string{Shuffled, OffTopic, Truncated, Repeated, Salad, Foreign, Empty, Parroted, Keywords}

// corrupt corrupts a good answer in one way. others are answers to other prompts. It returns false if the answer would
// still be right: a list has no order that could be lost, and "4" cannot be cut.
func corrupt(rng *rand.Rand, kind string, d *doc, others []string) (string, bool) {
	switch kind {
	case Shuffled:
		return shuffleSentences(rng, d)
	case OffTopic:
		return others[rng.IntN(len(others))], true
	case Truncated:
		return truncate(rng, d)
	case Repeated:
		return loop(rng, d), len(d.words) >= 3
	case Salad:
		return salad(rng, d)
	case Foreign:
		return foreign(rng, d), true
	case Empty:
		return []string{"", " ", "\n\n", "\t", "..."}[rng.IntN(5)], true
	case Parroted:
		p := d.in.Prompt
		return []string{p, p + " " + p, "Sure! " + p, p + "\n" + p + "\n" + p, "You asked: " + p}[rng.IntN(5)], true
	case Keywords:
		return keywords(rng, d)
	}
	return "", false
}

// ordered reports whether the order of sentences matters in a form.
func ordered(form string) bool { return form != "answer" && form != "list" && form != "code" }

// shuffleSentences permutes the lines of verse, or all sentences. Half of the time it keeps the layout of the answer,
// half of the time it makes one paragraph. At most a third of the sentences stay in their places.
func shuffleSentences(rng *rand.Rand, d *doc) (string, bool) {
	var parts []string
	var line []int
	if d.form == "poem" {
		for i, l := range d.lines {
			parts, line = append(parts, l), append(line, i)
		}
	} else {
		for _, s := range d.sentences {
			parts, line = append(parts, s.text), append(line, s.line)
		}
	}
	if len(parts) < 4 || !ordered(d.form) || d.code {
		return "", false
	}
	at := rng.Perm(len(parts))
	for {
		stay := 0
		for i, p := range at {
			if i == p {
				stay++
			}
		}
		if 3*stay <= len(at) {
			break
		}
		at = rng.Perm(len(parts))
	}
	layout := d.form == "poem" || rng.IntN(2) == 0
	var b strings.Builder
	for i, p := range at {
		switch {
		case i > 0 && layout && line[i] != line[i-1]:
			b.WriteByte('\n')
		case i > 0:
			b.WriteByte(' ')
		}
		b.WriteString(parts[p])
	}
	return b.String(), true
}

// truncate cuts the answer off after 30 to 80 % of it, and never directly after a sentence.
func truncate(rng *rand.Rand, d *doc) (string, bool) {
	text := strings.TrimSpace(d.in.Response)
	if len(d.words) < 12 {
		return "", false
	}
	at := len(text)*3/10 + rng.IntN(len(text)/2)
	for !utf8.RuneStart(text[at]) {
		at--
	}
	cut := strings.TrimRight(text[:at], " \n.!?:;*`\"”)|")
	return cut, len(words(cut)) > 0
}

// loop repeats the first sentence of the answer, its last one, or a phrase of it.
func loop(rng *rand.Rand, d *doc) string {
	times := 4 + rng.IntN(12)
	if n := len(d.sentences); n > 0 {
		switch rng.IntN(3) {
		case 0:
			return strings.TrimSpace(strings.Repeat(d.sentences[0].text+" ", times))
		case 1:
			return strings.TrimSpace(d.in.Response + " " + strings.Repeat(d.sentences[n-1].text+" ", times))
		}
	}
	w := strings.Fields(d.in.Response)
	from := rng.IntN(max(1, len(w)-8))
	phrase := strings.Join(w[from:min(len(w), from+3+rng.IntN(5))], " ")
	return strings.Join(w[:from], " ") + " " + strings.TrimSpace(strings.Repeat(phrase+" ", times+4)) + "."
}

// salad shuffles the words of the whole answer or of each sentence.
func salad(rng *rand.Rand, d *doc) (string, bool) {
	if len(d.words) < 10 {
		return "", false
	}
	swap := func(w []string) string {
		rng.Shuffle(len(w), func(i, j int) { w[i], w[j] = w[j], w[i] })
		return strings.Join(w, " ")
	}
	if rng.IntN(2) == 0 || len(d.source) > 0 {
		return swap(strings.Fields(d.in.Response)), true
	}
	var b strings.Builder
	for i, s := range d.sentences {
		if i > 0 && s.line != d.sentences[i-1].line {
			b.WriteByte('\n')
		} else if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(swap(slices.Clone(s.words)) + ".")
	}
	return b.String(), true
}

// passages are simple texts in other languages. %s stands for a word of the answer, so that they are about its topic.
var passages = []string{
	"Das Thema %s ist für viele Menschen wichtig. Man sollte zuerst verstehen, warum es so ist, und dann gemeinsam " +
		"mit anderen nach einer guten Lösung suchen. Auch %s spielt dabei eine große Rolle. Am Ende hängt alles " +
		"davon ab, ob genügend Zeit zur Verfügung steht.",
	"Es war einmal ein Mann, der wollte mehr über %s wissen. Er ging durch den Wald und fragte jeden, den er traf, " +
		"nach %s. Niemand konnte ihm helfen, bis er eines Abends an eine kleine Hütte kam. Dort brannte noch Licht.",
	"La question de %s est importante pour beaucoup de gens. Il faut d'abord comprendre pourquoi, puis chercher " +
		"ensemble une bonne solution. Le rôle de %s ne doit pas être oublié non plus. À la fin, tout dépend du " +
		"temps que nous avons.",
	"Il était une fois un homme qui voulait tout savoir sur %s. Il traversa la forêt et demanda à chacun ce qu'il " +
		"pensait de %s. Personne ne pouvait l'aider, jusqu'au soir où il trouva une petite maison dans laquelle " +
		"brûlait encore une lampe.",
	"El tema de %s es importante para muchas personas. Primero hay que entender por qué, y después buscar juntos " +
		"una buena solución. También %s tiene un papel muy grande en todo esto. Al final, todo depende del tiempo " +
		"que tengamos.",
	"Había una vez un hombre que quería saber más sobre %s. Caminó por el bosque y preguntó a cada persona por %s. " +
		"Nadie podía ayudarle, hasta que una noche llegó a una casa pequeña donde todavía había luz.",
	"Il tema di %s è importante per molte persone. Prima bisogna capire perché, e poi cercare insieme una buona " +
		"soluzione. Anche %s ha un ruolo molto grande. Alla fine tutto dipende dal tempo che abbiamo.",
	"Het onderwerp %s is voor veel mensen belangrijk. Je moet eerst begrijpen waarom dat zo is, en daarna samen " +
		"met anderen naar een goede oplossing zoeken. Ook %s speelt daarbij een grote rol. Uiteindelijk hangt " +
		"alles van de tijd af.",
}

// foreign writes about the answer's topic in another language, or replaces each word by an invented one.
func foreign(rng *rand.Rand, d *doc) string {
	content := contentWords(d.words, nil)
	if rng.IntN(3) > 0 || len(d.prose) < 8 {
		p := passages[rng.IntN(len(passages))]
		for strings.Contains(p, "%s") {
			word := "das"
			if len(content) > 0 {
				word = content[rng.IntN(len(content))]
			}
			p = strings.Replace(p, "%s", word, 1)
		}
		return p
	}
	const consonants, vowels = "bdfgklmnprstvz", "aeiou"
	var b strings.Builder
	for i, s := range d.sentences {
		if i > 0 {
			b.WriteByte(' ')
		}
		for j, w := range s.words {
			if j > 0 {
				b.WriteByte(' ')
			}
			h := fnv.New32a()
			h.Write([]byte(w))
			for x, n := h.Sum32(), 0; n < max(2, len(w)); n += 2 {
				b.WriteByte(consonants[x%uint32(len(consonants))])
				b.WriteByte(vowels[x/16%uint32(len(vowels))])
				x = x*1664525 + 1013904223
			}
		}
		b.WriteByte('.')
	}
	return b.String()
}

// keywords lists the answer's content words.
func keywords(rng *rand.Rand, d *doc) (string, bool) {
	var list []string
	for _, w := range d.words {
		if !functional(w) && len(w) > 2 && !slices.Contains(list, w) {
			list = append(list, w)
		}
	}
	if len(list) < 8 || d.form == "list" || d.form == "answer" || d.form == "code" {
		return "", false
	}
	sep := []string{", ", "; ", "\n- ", " "}[rng.IntN(4)]
	return strings.TrimPrefix(strings.Join(list, sep), "\n"), true
}
