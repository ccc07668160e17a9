package certify

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/certify/client"
	"github.com/hxp-enterprise/mixtral/internal/certify/loadgen"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// addExtras adds the options' headers, query and body fields to the case. They replace the case's fields of the same
// name.
func (o *Options) addExtras(c *testcases.Case) error {
	r := &c.Request
	for _, h := range o.Headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return fmt.Errorf("%w: header %q: must be NAME: VALUE", ErrOptions, firstWord(h))
		}
		put(&r.Headers, strings.TrimSpace(name), strings.TrimSpace(value))
	}
	for _, q := range o.Query {
		name, value, ok := strings.Cut(q, "=")
		if !ok || name == "" {
			return fmt.Errorf("%w: query %q: must be NAME=VALUE", ErrOptions, firstWord(q))
		}
		put(&r.Query, name, value)
	}
	for _, b := range o.Body {
		fields, err := bodyFields(b)
		if err != nil {
			return err
		}
		for k, v := range fields {
			put(&r.Body, k, v)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(r.Body)) {
		if k == "stream" || k == "messages" {
			return fmt.Errorf("%w: body field %q: the case decides it", ErrOptions, k)
		}
	}
	if err := loadgen.CheckHeader(extraOf(c).Header); err != nil {
		return fmt.Errorf("%w: %w", ErrOptions, err)
	}
	return nil
}

// firstWord is the part of an option that an error may quote; the rest may be a secret.
func firstWord(s string) string {
	return strings.FieldsFunc(s+" ", func(r rune) bool { return r == ' ' })[0]
}

func put[V any](m *map[string]V, key string, v V) {
	if *m == nil {
		*m = map[string]V{}
	}
	(*m)[key] = v
}

// bodyFields reads a JSON object, or KEY=VALUE, whose value is a string if it is not JSON.
func bodyFields(s string) (map[string]any, error) {
	var fields map[string]any
	if strings.HasPrefix(strings.TrimSpace(s), "{") {
		if err := json.Unmarshal([]byte(s), &fields); err != nil {
			return nil, fmt.Errorf("%w: body %q: must be a JSON object: %w", ErrOptions, s, err)
		}
		return fields, nil
	}
	key, value, ok := strings.Cut(s, "=")
	if !ok || key == "" {
		return nil, fmt.Errorf("%w: body %q: must be KEY=VALUE or a JSON object", ErrOptions, s)
	}
	var v any
	if json.Unmarshal([]byte(value), &v) != nil {
		v = value
	}
	return map[string]any{key: v}, nil
}

// extraOf returns the headers and the query that a case adds to requests.
func extraOf(c *testcases.Case) client.Extra {
	e := client.Extra{Header: http.Header{}, Query: url.Values{}}
	for k, v := range c.Request.Headers {
		e.Header.Set(k, v)
	}
	for k, v := range c.Request.Query {
		e.Query.Set(k, v)
	}
	return e
}

// hidden replaces a value that a record must not contain.
const hidden = "(hidden)"

// withoutSecrets returns the case as it is recorded: without the values of headers, and of query parameters whose name
// suggests a secret.
func withoutSecrets(c *testcases.Case) *testcases.Case {
	out := *c
	out.Request.Headers, out.Request.Query = nil, nil
	for k := range c.Request.Headers {
		put(&out.Request.Headers, k, hidden)
	}
	for k, v := range c.Request.Query {
		for _, secret := range []string{"key", "token", "secret", "password", "sig", "auth", "code"} {
			if strings.Contains(strings.ToLower(k), secret) {
				v = hidden
			}
		}
		put(&out.Request.Query, k, v)
	}
	return &out
}
