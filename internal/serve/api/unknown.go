package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/serve/settings"
)

// aliases are names that other servers have for fields of this one, in their order in docs/API.md.
var aliases = []struct{ name, field string }{
	{"max_new_tokens", "max_tokens"}, // Hugging Face's
	{"n_predict", "max_tokens"},      // llama.cpp's
	{"max_output_tokens", "max_tokens"},
	{"num_predict", "max_tokens"}, // Ollama's
	{"repeat_penalty", "repetition_penalty"},
	{"random_seed", "seed"}, // Mistral's
	{"stop_sequences", "stop"},
	{"regex", "guided_regex"}, // SGLang's
	{"ebnf", "guided_grammar"},
}

// harmlessFields change nothing in an answer of this service, whatever they hold: they are for accounts, caches and
// models that think, or say how and not what to compute.
var harmlessFields = []string{
	// OpenAI's.
	"user", "metadata", "store", "service_tier", "prediction", "reasoning_effort", "reasoning",
	"verbosity", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "prompt_mode",
	// vLLM's.
	"request_id", "priority", "cache_salt", "include_reasoning", "separate_reasoning", "stream_reasoning",
	"guided_decoding_backend", "spaces_between_special_tokens", "return_tokens_as_token_ids", "return_token_ids",
	// llama.cpp's and Ollama's.
	"cache_prompt", "id_slot", "slot_id", "n_keep", "n_discard", "n_cache_reuse", "timings_per_token",
	"return_progress", "response_fields", "keep_alive", "reasoning_format", "api_key",
}

// neutralFields change an answer with most values, which are refused, and nothing with these, written as JSON.
// Besides these, the values of asksNothing change nothing.
var neutralFields = []struct {
	name    string
	neutral []string
}{
	{"mirostat", []string{"0"}}, {"mirostat_tau", anyNumber}, {"mirostat_eta", anyNumber},
	{"typical_p", []string{"1", "1.0"}}, {"tfs_z", []string{"1", "1.0"}}, {"top_a", []string{"0", "0.0"}},
	{"dynatemp_range", []string{"0", "0.0"}}, {"dynatemp_exponent", anyNumber},
	{"xtc_probability", []string{"0", "0.0"}}, {"xtc_threshold", anyNumber},
	{"dry_multiplier", []string{"0", "0.0"}}, {"dry_base", anyNumber}, {"dry_allowed_length", anyNumber},
	{"dry_penalty_last_n", anyNumber}, {"dry_sequence_breakers", anyList},
	{"repeat_last_n", []string{"-1"}}, {"min_keep", []string{"0", "1"}}, {"n_probs", []string{"0"}},
	{"n_indent", []string{"0"}}, {"t_max_predict_ms", []string{"0"}}, {"lora", nil}, {"samplers", nil},
	{"length_penalty", []string{"1", "1.0"}}, {"early_stopping", nil}, {"epsilon_cutoff", []string{"0", "0.0"}},
	{"no_repeat_ngram_size", []string{"0"}}, {"skip_special_tokens", []string{"true"}},
	{"safe_prompt", nil}, {"chat_template_kwargs", nil}, {"mm_processor_kwargs", nil},
	{"add_special_tokens", []string{"true"}}, {"options", nil}, {"extra_body", nil}, {"vllm_xargs", nil},
	{"template", nil}, {"raw", nil}, {"system", nil}, {"plugins", nil}, {"transforms", nil},
}

// These stand for all values of a kind: they mean something only beside a field that is refused.
var (
	anyNumber = []string{"a number"}
	anyList   = []string{"an array"}
)

// rename gives fields that came under another server's name their own, so that they are read like it. Errors name
// what the client sent.
func (o *object) rename() {
	for _, a := range aliases {
		v, ok := o.fields[a.name]
		if !ok {
			continue
		}
		delete(o.fields, a.name)
		o.into(a.name, a.field, v)
	}
	// Ollama's name for an answer's form: "json", or a JSON Schema.
	if v, ok := o.fields["format"]; ok && (o.is("format", `"json"`) || kind(v) == "an object") {
		delete(o.fields, "format")
		if kind(v) == "an object" {
			o.into("format", "json_schema", v)
		} else {
			o.into("format", "response_format", json.RawMessage(`{"type":"json_object"}`))
		}
	} else if o.is("format", `""`) || o.is("format", "null") {
		delete(o.fields, "format")
	}
}

// into sets a field to what came under another name.
func (o *object) into(name, field string, v json.RawMessage) {
	if string(v) == "null" {
		return
	}
	if old, both := o.fields[field]; both && string(old) != "null" && string(old) != string(v) {
		o.fail(name, "is another name of %s, which has another value", o.name(field))
		return
	}
	o.fields[field] = v
	if o.given == nil {
		o.given = map[string]string{}
	}
	o.given[field] = name
}

// unknown refuses fields that nobody has read: passed over, they could change what an answer means.
func (s *Server) unknown(o *object) {
	if o.err != nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(o.fields)) {
		v := o.fields[name]
		if o.read[name] || string(v) == "null" || slices.Contains(harmlessFields, name) {
			continue
		}
		if i := slices.IndexFunc(neutralFields, func(f struct {
			name    string
			neutral []string
		}) bool {
			return f.name == name
		}); i >= 0 {
			f := neutralFields[i]
			asks := asksFor(v, f.neutral) || slices.Contains(falseAsks, name) && o.is(name, "false")
			if name == "add_special_tokens" && o.read["messages"] { // chat formats have theirs in any case
				asks = o.is(name, "true")
			}
			if !asks || slices.Contains(f.neutral, kind(v)) {
				continue
			}
			o.unsupported(name)
			return
		}
		if s.c.IgnoreUnknown {
			continue
		}
		if !plainName(name) {
			o.err = &httpError{status: http.StatusBadRequest, typ: typeInvalid, code: "unknown_parameter",
				message: "a field has a name that no request has: names are of letters, digits and underscores"}
			return
		}
		message := fmt.Sprintf("%s: is not a field of this request", name)
		if near := settings.Nearest(name, o.names()); near != "" {
			message += fmt.Sprintf("; did you mean %q?", near)
		}
		o.err = &httpError{status: http.StatusBadRequest, typ: typeInvalid, code: "unknown_parameter",
			param: name, message: message, quotes: true}
		return
	}
}

// plainName tells whether a field's name may be shown. What else stands there may be anything.
func plainName(name string) bool {
	return len(name) <= 64 && strings.Trim(name,
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == ""
}

// names are the fields that a request may have and that mean something, for suggestions.
func (o *object) names() []string {
	names := slices.Sorted(maps.Keys(o.read))
	for _, a := range aliases {
		names = append(names, a.name)
	}
	return append(names, harmlessFields...)
}
