// Package chat renders conversations with a model's own chat template, which is written in Jinja.
//
// Start with formats.go, which chooses a model's format, and template.go: a Template is compiled once and rendered for
// each conversation. scan.go cuts a source into tags and text, and lex.go cuts the tags into words. parse.go, loop.go,
// expression.go and postfix.go turn these into functions. text.go and value.go are the values; arithmetic.go,
// filters.go, tests.go and methods.go are what can be done with them. rendering.go counts what a rendering does.
//
// A template comes with a model from anywhere and runs inside a server, so it is bounded: its steps, the bytes that it
// makes and its depth are counted, and it ends with ErrLimit. No library that could be used here has such limits. The
// dialect is that of Hugging Face's Transformers (Jinja2 with trim_blocks, lstrip_blocks, break, continue,
// raise_exception, strftime_now and tojson), without what no chat template uses: inheritance, imports, call blocks.
//
// tools.go puts tools, calls and results before a model: by its template, as Mistral's own encoder does, or as text
// around an instruction. calls.go has the forms in which models write calls, and takes calls out of their answers;
// json.go reads and spells JSON as Python does.
//
// What messages say must not become control tokens. Every string therefore remembers which of its bytes come from the
// messages, through concatenation, slicing, trimming and replacing; a rendered conversation is a list of parts, each
// either the template's or the messages'.
package chat
