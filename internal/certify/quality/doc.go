// Package quality scores an answer to a prompt between 0 and 1, offline and always the same. The score is the weighted
// mean of relevance, coherence and completeness, and every part of it says what it saw.
//
// Each component is the weakest of its parts: an answer that loops is incoherent however well it is spelt. The parts
// are steep on purpose: one fatal fault takes its component near zero, and so takes the mean below the 0.8 that the
// test case asks for.
//
// score.go has the entrance; relevance.go, coherence.go and completeness.go have the components; answer.go, code.go
// and form.go look at checkable answers, code and forms. The order of sentences is judged by order.go with the cues of
// cues.go: unit.go reads a sentence, unit_text.go has the table of its features, and weights.go the fitted weights.
// text.go, lexicon.go, grammar.go and language.go know the language. calibrate.go measures how well scores tell good
// answers from bad ones, on the answers of labelled.go and the corruptions of corrupt.go. reviewer.go asks a model for
// a second opinion. Start reading at Score.
package quality
