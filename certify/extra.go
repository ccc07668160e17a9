package certify

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/certify/client"
	"github.com/hxp-enterprise/mixtral/internal/certify/loadgen"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// addExtras adds the options' headers, query and body fields to those of the case, which they replace.
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
	for k := range r.Body {
		if k == "stream" || k == "messages" {
			return fmt.Errorf("%w: body field %q: the case decides it", ErrOptions, k)
		}
	}
	if err := loadgen.CheckHeader(extraOf(c).Header); err != nil {
		return fmt.Errorf("%w: %w", ErrOptions, err)
	}
	return nil
}

// firstWord is enough of an option to find it by; the rest may be a key.
func firstWord(s string) string {
	return strings.FieldsFunc(s+" ", func(r rune) bool { return r == ' ' })[0]
}

func put[V any](m *map[string]V, key string, v V) {
	if *m == nil {
		*m = map[string]V{}
	}
	(*m)[key] = v
}

// bodyFields reads a JSON object of fields, or KEY=VALUE where a value that is not JSON is a string.
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

// extraOf is what the requests of a case carry beside their body.
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

// hidden stands for a value that a record must not hold.
const hidden = "(hidden)"

// withoutSecrets is the case as it is recorded: headers may hold keys, and so may parts of a query.
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
