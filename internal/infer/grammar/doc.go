// Package grammar constrains generated text: it compiles JSON Schema, regular expressions, GBNF, Lark grammars and
// lists of choices to one pushdown automaton over bytes, and tells for each of its states which tokens of a vocabulary
// may come next.
//
// Start reading at Spec and Compile (compile.go) and at Matcher (matcher.go), which follows one answer.
//
// The front ends (schema*.go, regex.go, gbnf.go, lark.go) turn a source into rules whose bodies are expressions
// (expr.go). build.go makes nodes of them, a nondeterministic automaton with calls and counters; state.go runs it:
// a state is a set of places in the automaton, each with its stack, found once and then remembered, as a lazy
// deterministic automaton. repetition.go keeps the items of an array apart, which no automaton can, and
// schema_differ.go writes such items. vocab.go holds the vocabulary as a prefix tree, mask.go walks it along the
// states. tags.go puts schemas between fixed texts, as calls of tools stand, behind or instead of free text. dfa.go
// has the operations on regular languages that JSON Schema needs: intersection, difference, emptiness.
//
// What holds for every grammar:
//
//   - Each text that the automaton lets grow can be finished: alternatives that could not are dropped when the grammar
//     is compiled, and so are those that would need more than maxDepth levels of nesting while it runs.
//   - The text is valid UTF-8 when it ends, since rules are made of characters.
//   - Time and memory have bounds (limits.go). A source that exceeds one is refused with an error that says so.
package grammar
