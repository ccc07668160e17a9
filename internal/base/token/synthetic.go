package token

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// MinSynthetic is the least number of pieces that Synthetic makes: 3 special ones, 256 bytes and the commonest
// characters.
const MinSynthetic = 300

// SyntheticTemplate renders the format of Chat, for other engines that read the file.
const SyntheticTemplate = `{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %} {{ m.content }}{{ eos_token }}` +
	`{% else %}[INST] {{ m.content }} [/INST]{% endif %}{% endfor %}`

// Synthetic makes a working vocabulary of n pieces (at least MinSynthetic): <unk> <s> </s>, the 256 bytes, "▁" and
// printable ASCII, then syllables, English words and invented words. All are distinct. Each piece of several
// characters is the concatenation of two earlier pieces with higher scores, and encoding the piece's own text gives
// the piece. The same n and seed give the same vocabulary.
func Synthetic(n int, seed uint64) Spec {
	g := newSynthesis(max(n, MinSynthetic), seed)
	g.special("<unk>", TypeUnknown)
	g.special("<s>", TypeControl)
	g.special("</s>", TypeControl)
	for b := range 256 {
		g.special(fmt.Sprintf("<0x%02X>", b), TypeByte)
	}
	// By frequency: the smallest vocabularies have no room for all of ASCII.
	const common = "etaoinshrdlcumwfgypbvkjxqz.,'?!-0123456789ETAOINSHRDLCUMWFGYPBVKJXQZ"
	for _, c := range Space + common + "\"#$%&()*+/:;<=>@[\\]^_`{|}~" {
		g.piece(string(c))
	}
	for _, s := range strings.Fields(commonSyllables) {
		g.word(s)
	}
	words := strings.Fields(commonWords)
	g.rng.Shuffle(len(words), func(i, j int) { words[i], words[j] = words[j], words[i] })
	for _, w := range words {
		g.word(Space + w)
	}
	for !g.full() {
		w := g.invent()
		switch g.rng.IntN(8) {
		case 0: // a piece inside words
		case 1:
			w = Space + strings.ToUpper(w[:1]) + w[1:]
		default:
			w = Space + w
		}
		g.word(w)
	}
	return g.spec
}

// synthesis builds a vocabulary. It indexes the pieces so far as a Tokenizer does.
type synthesis struct {
	spec Spec
	n    int
	rng  *rand.Rand
	tok  Tokenizer
}

func newSynthesis(n int, seed uint64) *synthesis {
	g := &synthesis{n: n, rng: rand.New(rand.NewPCG(seed, 0x6d697874))} // "mixt": any constant stream will do
	g.spec = Spec{BOS: 1, EOS: 2, UNK: 0, AddBOS: true, AddSpacePrefix: true, Template: SyntheticTemplate}
	g.spec.Pieces = make([]string, 0, n)
	g.tok.ids = make(map[string]int32, n)
	return g
}

func (g *synthesis) full() bool { return len(g.spec.Pieces) >= g.n }

func (g *synthesis) special(piece string, typ int32) {
	g.spec.Pieces = append(g.spec.Pieces, piece)
	g.spec.Scores = append(g.spec.Scores, 0)
	g.spec.Types = append(g.spec.Types, typ)
}

// piece adds a normal piece with the lowest score so far, as BPE training does.
func (g *synthesis) piece(s string) {
	if _, dup := g.tok.ids[s]; dup || g.full() {
		return
	}
	id := int32(len(g.spec.Pieces))
	g.spec.Pieces = append(g.spec.Pieces, s)
	g.spec.Scores = append(g.spec.Scores, -float32(len(g.tok.ids)))
	g.spec.Types = append(g.spec.Types, TypeNormal)
	g.tok.ids[s] = id
	g.tok.maxPiece = max(g.tok.maxPiece, len(s))
	g.tok.spec = g.spec
}

// word adds pieces until w is one. Each joins the first two symbols into which the vocabulary so far splits w. Merging
// prefers higher scores, so pieces that are added later never prevent w.
func (g *synthesis) word(w string) {
	for !g.full() {
		m := merger{t: &g.tok}
		for _, c := range w {
			m.add(string(c))
		}
		m.flush()
		if len(m.ids) < 2 {
			return
		}
		g.piece(g.spec.Pieces[m.ids[0]] + g.spec.Pieces[m.ids[1]])
	}
}

// invent returns a pronounceable word of two to four syllables.
func (g *synthesis) invent() string {
	onsets := strings.Fields("b c d f g h l m n p r s t v w br ch cl cr dr fl gr pl pr sh sl sp st th tr")
	vowels := strings.Fields("a e i o u ai ea ee io ou")
	codas := strings.Fields("n r s t l m d ng st nt - - - - -")
	var w strings.Builder
	for range 2 + g.rng.IntN(3) {
		w.WriteString(onsets[g.rng.IntN(len(onsets))])
		w.WriteString(vowels[g.rng.IntN(len(vowels))])
		w.WriteString(strings.Trim(codas[g.rng.IntN(len(codas))], "-"))
	}
	return w.String()
}

const commonSyllables = `th he in er an re on at en nd ti es or te of ed is it al ar st to nt ng se ha as ou io le ve co me de hi
ri ro ic ne ea ra ce li ch ll be ma si om ur ing tion ent ion ter ation ment ness able less ful est ers ly`

const commonWords = `the of and to in is that it was for on are as with his they at be this from have or by one had not but
what all were when we there can an your which their said if do will each about how up out them then she many some so these
would other into has more her two like him see time could no make than first been its who now people my made over did down
only way find use may water long little very after words called just where most know get through back much before go good new
write our used me man too any day same right look think also around another came come work three word must because does part
even place well such here take why things help put years different away again off went old number great tell men say small
every found still between name should home big give air line set own under read last never us left end along while might next
sound below saw something thought both few those always looked show large often together asked house world going want school
important until form food keep children feet land side without boy once animals life enough took four head above kind began
almost live page got earth need far hand high year mother light parts country father let night following picture being study
second eyes soon times story boys since white days ever paper hard near sentence better best across during today others however
sure means knew try told young miles sun ways thing whole hear example heard several change answer room sea against top turned
learn point city play toward five using himself usually money seen car morning model service token system request answer`
