// Package chat renders conversations with a model's own chat template, which is written in Jinja.
//
// Start with template.go: a Template is compiled once and rendered for each conversation. scan.go cuts a source into
// tags and text, lex.go cuts the tags into words, parse.go and expression.go build the tree, eval.go walks it.
// text.go, value.go, filters.go, tests.go and methods.go are the values and what can be done with them.
//
// A template comes with a model from anywhere and runs inside a server, so it is bounded: a Limits counts its steps,
// the bytes that it makes and its depth, and ends it with ErrLimit. No library that could be used here has such
// limits. The dialect is that of Hugging Face's Transformers (Jinja2 with trim_blocks, lstrip_blocks, break, continue,
// raise_exception, strftime_now and tojson), without what no chat template uses: inheritance, imports, call blocks.
//
// What messages say must not become control tokens. Every string therefore remembers which of its bytes come from the
// messages, through concatenation, slicing, trimming and replacing; a rendered conversation is a list of parts, each
// either the template's or the messages'.
package chat
