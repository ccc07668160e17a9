package traffic

import (
	"math/rand/v2"
	"strings"
)

// words are common ones that tokenizers of today know as one token each with the space before them: as many words are
// nearly as many tokens, whatever the server's tokenizer. What it counts is in the record.
var words = strings.Fields(`time year people way day man thing woman life child world school state family student group
country problem hand part place case week company system program question work government number night point home water
room mother area money story fact month lot right study book eye job word business issue side kind head house service
friend father power hour game line end member law car city community name president team minute idea body information
back parent face others level office door health person art war history party result change morning reason research
girl guy moment air teacher force education good new first last long great little own other old big high different
small large next early young important few public bad same able know think take see come want look use find give tell
ask seem feel try leave call about after all also and any as at because but by can even for from get go have how if in
into it just like make many more most no not now of on one only or our out over say she so some than that the their
them then there these they this to two up us very we well what when which who will with would year you your`)

// text makes up n tokens of text from the stream of words that the two numbers name: a shorter text of a stream is the
// start of a longer one.
func text(b *strings.Builder, seed, stream uint64, n int) {
	rng := rand.New(rand.NewPCG(seed, stream))
	for range n {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(words[rng.IntN(len(words))])
	}
}

// Text makes up a text of so many words, each a token for most tokenizers, the same for the same seed and stream.
func Text(seed, stream uint64, n int) string {
	var b strings.Builder
	text(&b, seed^0x74657874, stream, n)
	return b.String()
}

// Words is how many words have so many tokens, where a word has perWord of them; 0 stands for 1.
func Words(tokens int, perWord float64) int {
	if perWord <= 0 || tokens <= 0 {
		return tokens
	}
	return max(int(float64(tokens)/perWord+0.5), 1)
}
