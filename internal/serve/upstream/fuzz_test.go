package upstream

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// FuzzPrepare: any body is refused as the client's error, is passed on unchanged, or is passed on as JSON that differs
// only in model and stream_options.
func FuzzPrepare(f *testing.F) {
	for _, s := range []string{`{}`, `{"model":"here","stream":true}`,
		`{"stream":true,"stream_options":{"include_usage":false,"x":1}}`, `{"stream":true,"stream_options":[]}`,
		`{"stream":1,"model":[]}`, `[]`, `null`, `{"model":"here","model":"x","a":1e999}`,
		`{"stream":true,"a":"\ud800"}`, "{\"a\":\"\xff\"}"} {
		f.Add([]byte(s))
	}
	models := map[string]string{"here": "there"}
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := prepare("/v1/completions", body)
		if err == nil {
			p.key()
			err = p.as((&server{}).name(p.model, models))
		}
		if err != nil {
			if !errors.Is(err, llm.ErrBadRequest) {
				t.Errorf("%q: %v", body, err)
			}
			return
		}
		if bytes.Equal(p.body, body) {
			return
		}
		var before, after map[string]json.RawMessage
		if json.Unmarshal(body, &before) != nil || json.Unmarshal(p.body, &after) != nil {
			t.Fatalf("%q became %q", body, p.body)
		}
		for key := range after {
			if before[key] == nil && key != "stream_options" {
				t.Errorf("%q became %q: %q is new", body, p.body, key)
			}
		}
		for key := range before {
			if after[key] == nil {
				t.Errorf("%q became %q: %q is gone", body, p.body, key)
			}
		}
		if p.hide && !bytes.Contains(after["stream_options"], []byte(`"include_usage":true`)) {
			t.Errorf("%q became %q: no usage is asked for", body, p.body)
		}
	})
}

// FuzzWhole: an answer that was not streamed is one JSON object or nothing, and what is read of it is consistent.
func FuzzWhole(f *testing.F) {
	for _, s := range []string{wholeAnswer, `{}`, ` {"choices":7} `, `[]`, `null`, `{`, "\xef\xbb\xbf{}",
		`{"usage":{"prompt_tokens":-1,"prompt_tokens_details":null}}`, `{"choices":[{"index":0,"finish_reason":7}]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var out Outcome
		var object map[string]json.RawMessage
		isOne := json.Unmarshal(data, &object) == nil && object != nil
		if (readWhole(data, &out) != nil) != isOne {
			t.Errorf("%q: an object: %v", data, isOne)
		}
	})
}

// FuzzModels: a list of models is refused, or has names that clients can use.
func FuzzModels(f *testing.F) {
	for _, s := range []string{`{"data":[{"id":"a","created":-1,"max_model_len":99999999999}]}`, `{"data":[{},null,{"id":"\u0000"}]}`,
		`[]`, `{"data":null}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		models, err := readModels(data)
		if err != nil {
			return
		}
		for _, m := range models {
			if m.ID == "" || len(m.ID) > maxName || m.ContextLength < 0 {
				t.Errorf("%q: %+v", data, m)
			}
		}
	})
}
