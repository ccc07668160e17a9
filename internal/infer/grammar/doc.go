// Package grammar constrains generated text: it compiles JSON Schema, regular expressions, GBNF, Lark grammars and
// lists of choices to one pushdown automaton over bytes, and tells for each of its states which tokens of a vocabulary
// may come next.
//
// Start reading at Spec and Compile (compile.go) and at Matcher (matcher.go), which follows one answer.
//
// The front ends (schema*.go, regex.go, gbnf.go, lark.go) turn a source into rules whose bodies are expressions
// (expr.go). source.go reads the characters of a grammar, lookahead.go takes look-ahead out of regular expressions,
// and leftrec.go removes left recursion. build.go makes nodes of the rules, a nondeterministic automaton with calls
// and counters; state.go runs it: a state is a set of places in the automaton, each with its stack, found once and
// then remembered, as a lazy deterministic automaton. repetition.go remembers the items of an array that must all
// differ, which no automaton can. vocab.go holds the vocabulary as a prefix tree, mask.go walks it along the states.
// tags.go puts schemas between fixed texts, as calls of tools stand, behind or instead of free text. dfa.go has the
// operations on regular languages that JSON Schema needs: intersection, difference, emptiness.
//
// A JSON Schema is read (jsonvalue.go, schema.go), and its keywords become constraints (schema_keywords.go).
// Constraints are joined and split into alternatives, and their texts are made:
//
//   - schema_ref.go follows references; schema_unknown.go decides about keywords of other vocabularies and misspelt
//     ones.
//   - schema_expand.go has allOf, anyOf, oneOf and dependencies, schema_not.go has not, if, then and else, and
//     schema_unevaluated.go unevaluatedProperties and unevaluatedItems. schema_apart.go says whether a value can be
//     valid for two schemas.
//   - schema_value.go makes the texts of values, objects and arrays, schema_number.go those of numbers,
//     schema_string.go and schema_format.go those of strings. schema_items.go has contains and uniqueItems, and
//     schema_differ.go writes items whose texts must differ.
//
// What holds for every grammar:
//
//   - Each text that the automaton lets grow can be finished: alternatives that could not are dropped when the grammar
//     is compiled, and so are those that would need more than maxDepth levels of nesting while it runs.
//   - The text is valid UTF-8 when it ends, since rules are made of characters.
//   - Time and memory have bounds (limits.go). A source that exceeds one is refused with an error that says so.
package grammar
