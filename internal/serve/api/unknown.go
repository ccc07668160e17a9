package api

import (
	"encoding/json"
	"slices"

	"github.com/hxp-enterprise/mixtral/internal/serve/body"
)

// aliases are other servers' names for fields of this one, in the order of docs/API.md.
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

// harmlessFields change nothing in an answer of this service, whatever their value: they concern accounts, caches and
// models that think, or say how the answer is computed.
var harmlessFields = []string{
	// OpenAI's.
	"user", "metadata", "store", "service_tier", "prediction", "reasoning_effort", "reasoning",
	"verbosity", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "prompt_mode",
	// vLLM's.
	"request_id", "priority", "include_reasoning", "separate_reasoning", "stream_reasoning",
	"guided_decoding_backend", "spaces_between_special_tokens", "return_tokens_as_token_ids", "return_token_ids",
	// llama.cpp's and Ollama's.
	"cache_prompt", "id_slot", "slot_id", "n_keep", "n_discard", "n_cache_reuse", "timings_per_token",
	"return_progress", "response_fields", "keep_alive", "reasoning_format", "api_key",
}

// neutralFields change an answer with most values, which are refused, but not with these, written as JSON. The values
// of asksNothing change nothing either.
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

// Markers for all values of a type: they have a meaning only beside a field that is refused.
var (
	anyNumber = []string{"a number"}
	anyList   = []string{"an array"}
)

// rename gives fields with another server's name the name that they have here, so that they are read like it. Errors
// use the client's name.
func rename(o *object) {
	for _, a := range aliases {
		v, ok := o.Fields[a.name]
		if !ok {
			continue
		}
		delete(o.Fields, a.name)
		into(o, a.name, a.field, v)
	}
	// Ollama's name for the answer's format: "json", or a JSON Schema.
	if v, ok := o.Fields["format"]; ok && (o.Is("format", `"json"`) || body.Kind(v) == "an object") {
		delete(o.Fields, "format")
		if body.Kind(v) == "an object" {
			into(o, "format", "json_schema", v)
		} else {
			into(o, "format", "response_format", json.RawMessage(`{"type":"json_object"}`))
		}
	} else if o.Is("format", `""`) || o.Is("format", "null") {
		delete(o.Fields, "format")
	}
}

// into sets a field to the value that came under another name.
func into(o *object, name, field string, v json.RawMessage) {
	if string(v) == "null" {
		return
	}
	if old, both := o.Fields[field]; both && string(old) != "null" && string(old) != string(v) {
		o.Fail(name, "is another name of %s, which has another value", o.Name(field))
		return
	}
	o.Set(field, v, name)
}

// unknown refuses fields that no code has read: if they were ignored, the answer might not be what the client asked
// for.
func (s *Server) unknown(o *object) {
	if o.Err != nil {
		return
	}
	for _, name := range o.Unknown() {
		v := o.Fields[name]
		if slices.Contains(harmlessFields, name) {
			continue
		}
		if i := slices.IndexFunc(neutralFields, func(f struct {
			name    string
			neutral []string
		}) bool {
			return f.name == name
		}); i >= 0 {
			f := neutralFields[i]
			asks := asksFor(v, f.neutral) || slices.Contains(falseAsks, name) && o.Is(name, "false")
			if name == "add_special_tokens" && o.Knows("messages") { // chat formats always add theirs
				asks = o.Is(name, "true")
			}
			if !asks || slices.Contains(f.neutral, body.Kind(v)) {
				continue
			}
			o.Unsupported(name)
			return
		}
		if !o.Lenient {
			o.Refuse(name, fieldNames(o))
			return
		}
	}
}

// fieldNames are the fields that a request may have and that have an effect, for suggestions.
func fieldNames(o *object) []string {
	names := o.Known()
	for _, a := range aliases {
		names = append(names, a.name)
	}
	return append(names, harmlessFields...)
}
