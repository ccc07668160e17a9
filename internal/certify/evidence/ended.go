package evidence

import "strings"

// Ends of an answer, as OpenAI's API names them.
const (
	EndStop     = "stop"           // the model had ended it
	EndLength   = "length"         // max_tokens cut it
	EndFiltered = "content_filter" // a filter held it back, or a part of it
	EndTools    = "tool_calls"     // it calls tools
)

// otherEnds are names that other servers and gateways give as finish_reason, in lower case.
var otherEnds = map[string]string{
	"eos": EndStop, "eos_token": EndStop, "end_turn": EndStop, "end_of_turn": EndStop, "stop_sequence": EndStop,
	"complete": EndStop, "completed": EndStop, "stop": EndStop,
	"max_tokens": EndLength, "max_output_tokens": EndLength, "max_length": EndLength, "model_length": EndLength,
	"length":     EndLength,
	"tool_calls": EndTools, "tool_use": EndTools, "function_call": EndTools,
	"content_filter": EndFiltered, "content_filtered": EndFiltered, "safety": EndFiltered, "refusal": EndFiltered,
	"recitation": EndFiltered, "prohibited_content": EndFiltered,
}

// Ended is finish_reason in OpenAI's words, whatever the server calls it; a name that nobody knows is left as it is.
func (r *Request) Ended() string { return EndOf(r.Finish) }

// EndOf is Ended of a finish_reason.
func EndOf(finish string) string {
	switch finish {
	case "", EndStop, EndLength: // nearly always
		return finish
	}
	if end, ok := otherEnds[strings.ToLower(finish)]; ok {
		return end
	}
	return finish
}
