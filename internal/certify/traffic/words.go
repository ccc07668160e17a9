package traffic

import (
	"math/rand/v2"
	"strings"
)

// words are common English words. Today's tokenizers have one token for each of them with the space before it, so the
// number of words is close to the number of tokens for any server. The record has what the server counts.
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

// text adds n words to b, drawn from the random stream that seed and stream identify. A shorter text of a stream is
// the beginning of a longer one.
func text(b *strings.Builder, seed, stream uint64, n int) {
	rng := rand.New(rand.NewPCG(seed, stream))
	for range n {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(words[rng.IntN(len(words))])
	}
}

// Text generates a text of n words, each of which is one token for most tokenizers. The same seed and stream give the
// same text.
func Text(seed, stream uint64, n int) string {
	var b strings.Builder
	text(&b, seed^0x74657874, stream, n)
	return b.String()
}

// Words is the number of words that have the given number of tokens, if a word has perWord tokens. perWord 0 means 1.
func Words(tokens int, perWord float64) int {
	if perWord <= 0 || tokens <= 0 {
		return tokens
	}
	return max(int(float64(tokens)/perWord+0.5), 1)
}
