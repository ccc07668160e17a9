package quality

import "strings"

// set makes a word set from a list.
func set(list string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(list) {
		m[w] = true
	}
	return m
}

// Function words. Together they are 40–60 % of running English, and hardly occur in a list of keywords.
var (
	determiners = set("the a an my your our their every its his whose")
	demonstr    = set("this that these those each some any no all both either neither another such many most much " +
		"few several more less own other")
	preposition = set("of in to for with on at from by about as into through between over after under during " +
		"before against among within without across toward towards upon beyond along around behind beside near off " +
		"onto out up down per via like than despite throughout until since")
	auxiliaries = set("is are was were be been being am has have had do does did can could will would shall should " +
		"may might must cannot isn't aren't wasn't don't doesn't didn't can't won't couldn't wouldn't shouldn't")
	conjunction = set("and or but nor so yet because while if when although though whereas unless once whether " +
		"where how why that")
	pronouns = set("i you he she it we they me him her us them this that these those who which what there " +
		"itself himself herself themselves ourselves yourself one someone everyone something everything anything " +
		"nothing it's that's there's i'm we're they're you're he's she's let's i've we've they've you've i'll " +
		"we'll they'll you'll it'll")
	adverbs = set("not very also just only even still already always never often too then here now again ever " +
		"perhaps maybe rather quite almost really simply instead however therefore thus together away back first " +
		"second finally")
)

// functional reports whether w is one of English's function words.
func functional(w string) bool {
	return determiners[w] || demonstr[w] || preposition[w] || auxiliaries[w] || conjunction[w] || pronouns[w] ||
		adverbs[w]
}

// asking are words of a prompt that say what to do, and not what about.
var asking = set(`explain describe analyze analyse compare contrast evaluate summarize summarise write create compose discuss tell give
 list name define outline generate make provide consider considering concept term terms simple simply short brief briefly main point points
 please detail details detailed example examples difference differences implication implications effectiveness approach approaches dimension dimensions
 different task tasks text poem story essay plan three two four five six following question questions answer answers words sentence sentences paragraph paragraphs how what why
 when where which who whose design draft propose suggest show help need want beginner beginners basic basics idea ideas way ways
 come given use used using uses good better best great cool well thing things know think like new kind kinds type types various possible important currently
 would could should get find sure let step steps article section response respond reply provided information based include includes including appropriate
 one lot lots own go going able try trying take don't can't something someone anything everything really much many more most also just very ever
 classify convert rewrite rephrase translate determine identify choose select extract sort summarise imagine assume role play act recommend recommendations tip tips advice
 day days year years time times people person part parts makes made making say says said see look looking`)

// contentWords are the stems of the words that are about a text's subject, in the order of their first use.
func contentWords(ws []string, skip map[string]bool) []string {
	var out []string
	seen := map[string]bool{}
	for _, w := range ws {
		s := stem(w)
		if functional(w) || skip[w] || seen[s] || len(w) < 2 && !isNumber(w) {
			continue
		}
		seen[s] = true
		out = append(out, s)
	}
	return out
}

// plausible reports whether w could be an English word by its letters: it has vowels, no long run of consonants, and
// only usual letters.
func plausible(w string) bool {
	if isNumber(w) || functional(w) {
		return true
	}
	vowels, run, same := 0, 0, 1
	for i := range len(w) {
		c := w[i]
		if i > 0 && c == w[i-1] {
			same++
		} else {
			same = 1
		}
		switch {
		case c == '\'' || c == '-' || isDigit(c):
			run = 0
		case strings.IndexByte("aeiouy", c) >= 0:
			vowels++
			run = 0
		case c >= 'a' && c <= 'z':
			run++
		case c == 0xe2 || c == 0x80 || c == 0x99 || c >= 0xc3 && c <= 0xc5 || c >= 0x80 && c < 0xc0:
			run = 0 // ’ and the accents of borrowed words
		default:
			return false
		}
		if run > 5 || same > 3 {
			return false
		}
	}
	return len(w) <= 24 && (vowels > 0 || len(w) <= 5)
}

// openers at its beginning show that a sentence refers to one before it.
var openers = []string{"however", "but ", "also", "moreover", "furthermore", "therefore", "thus", "then ", "next",
	"finally", "in conclusion",
	"overall", "in addition", "additionally", "for example", "for instance", "similarly", "on the other hand",
	"as a result", "consequently", "instead", "another",
	"in contrast", "by contrast", "in short", "in summary", "to sum up", "ultimately", "second", "third", "lastly",
	"meanwhile", "afterwards", "later", "so ", "and ", "or ", "because of ", "in the end",
	"from that day", "from then", "since then", "at the same time", "of course", "still", "yet ", "nevertheless",
	"likewise", "after that", "together", "at first", "at last", "the next ", "that night", "that evening",
	"above all", "on top of", "less obvious", "in return", "in exchange", "in practice", "that is why", "this is why",
	"conversely", "unlike", "each time", "only then", "once more", "not only", "nor ", "even so", "even then",
	"apart from", "as for", "in other words", "in fact", "in turn"}

// closers show that a text comes to its end.
var closers = []string{"in conclusion", "overall", "in summary", "to sum up", "in short", "ultimately", "in the end",
	"all in all", "to conclude", "lastly",
	"finally", "from that day", "the end", "and so", "taken together", "to summarize", "on balance", "from then on",
	"ever since", "i hope", "let me know", "my verdict", "verdict", "conclusion", "summary", "outlook",
	"my advice", "my recommendation",
	"i would recommend", "i recommend", "the overall", "the outcome", "in practice", "taken together", "for most",
	"remember", "by following", "with these", "all of this", "that is", "that's why"}

// beginners are usual beginnings of a text.
var beginners = []string{"once ", "once upon", "one day", "long ago", "one morning", "one evening",
	"in the first place", "to begin", "introduction", "executive summary",
	"there was", "there once", "in a ", "let's ", "sure", "title", "certainly", "mission", "here are", "here is",
	"here's", "yes", "no,", "of course!", "absolutely", "great question", "good question",
	"the short answer", "in simple terms", "imagine", "dear ", "hi ", "hello", "subject", "i'd be happy",
	"thank you for", "years ago", "for many years", "problem", "vision", "overview", "it seems", "it looks",
	"it sounds", "it depends", "it's great", "it's important", "it is important", "it is great", "it is difficult"}

// hasPrefixAny reports whether low, a lower-case sentence, starts with one of the list.
func hasPrefixAny(low string, list []string) bool {
	for _, p := range list {
		if strings.HasPrefix(low, p) {
			return true
		}
	}
	return false
}
