// Package quality scores an answer to a prompt between 0 and 1. It needs no network, and the same answer always has
// the same score. The score is the weighted mean of relevance, coherence and completeness, and every part of it states
// its reason.
//
// Each component is the weakest of its parts: an answer that loops is incoherent, however well it is spelt. The parts
// are steep on purpose: one severe fault brings its component near zero, and so the mean below the 0.8 that the test
// case asks for.
//
// score.go has the entry point. relevance.go, coherence.go and completeness.go have the components; answer.go, code.go
// and form.go score checkable answers, code and forms. order.go scores the order of sentences with the features of
// cues.go: unit.go reads a sentence, unit_text.go has the table of its marks, and weights.go the fitted weights.
// text.go splits an answer into words and sentences; lexicon.go, families.go, grammar.go and language.go have facts
// about the language. calibrate.go measures how well scores separate good answers from bad ones, on the answers of
// labelled.go and the corruptions of corrupt.go. reviewer.go asks a model for a second opinion. Start reading at
// Score.
package quality
