package evidence

import "strings"

// Values of finish_reason, as OpenAI's API names them.
const (
	EndStop     = "stop"           // the model ended the answer
	EndLength   = "length"         // max_tokens ended it
	EndFiltered = "content_filter" // a filter withheld the answer or a part of it
	EndTools    = "tool_calls"     // the answer calls tools
)

// otherEnds translates values of finish_reason that other servers and gateways use, in lower case.
var otherEnds = map[string]string{
	"eos": EndStop, "eos_token": EndStop, "end_turn": EndStop, "end_of_turn": EndStop, "stop_sequence": EndStop,
	"complete": EndStop, "completed": EndStop, "stop": EndStop,
	"max_tokens": EndLength, "max_output_tokens": EndLength, "max_length": EndLength, "model_length": EndLength,
	"length":     EndLength,
	"tool_calls": EndTools, "tool_use": EndTools, "function_call": EndTools,
	"content_filter": EndFiltered, "content_filtered": EndFiltered, "safety": EndFiltered, "refusal": EndFiltered,
	"recitation": EndFiltered, "prohibited_content": EndFiltered,
}

// Ended is finish_reason translated into OpenAI's words. An unknown value is returned unchanged.
func (r *Request) Ended() string { return EndOf(r.Finish) }

// EndOf translates a finish_reason as Ended does.
func EndOf(finish string) string {
	switch finish {
	case "", EndStop, EndLength: // the usual case needs no lookup
		return finish
	}
	if end, ok := otherEnds[strings.ToLower(finish)]; ok {
		return end
	}
	return finish
}
