// Package clients runs other people's clients against the service, those in JavaScript and those in Go, and holds the
// table in docs/API.md to what came out. clients_test.go does that: start there. golang_test.go has the clients in Go,
// harness_test.go the requests of evaluation harnesses, and each *.mjs but two is a client in JavaScript.
package clients

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
)

// result is what became of one check.
type result struct {
	Client, Feature, Name string
	Error                 string // empty: it passed
}

// checks are a client's, by feature and name.
type checks map[string]map[string]func(ctx context.Context) error

// run runs a client's checks.
func (c checks) run(t *testing.T, client string) (all []result) {
	for feature, list := range c {
		for name, check := range list {
			r := result{Client: client, Feature: feature, Name: name}
			if err := check(t.Context()); err != nil {
				r.Error = err.Error()
			}
			all = append(all, r)
		}
	}
	return all
}

// want is nil where ok.
func want(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf("want "+format, args...)
}

// Forms that even a model without a clue gets right in a few tokens, as it is held to them.
const (
	personSchema = `{"type":"object","properties":{"name":{"type":"string","enum":["Ada","Grace"]},` +
		`"born":{"type":"integer","minimum":1000,"maximum":2000}},"required":["name","born"],"additionalProperties":false}`
	weatherSchema = `{"type":"object","properties":{"city":{"type":"string","enum":["Paris","Lima"]}},` +
		`"required":["city"],"additionalProperties":false}`
)

func isPerson(text string) error {
	var p struct {
		Name string
		Born int
	}
	err := json.Unmarshal([]byte(text), &p)
	return want(err == nil && (p.Name == "Ada" || p.Name == "Grace") && p.Born >= 1000 && p.Born <= 2000,
		"a person, got %q", text)
}

func isCity(text string) error {
	var p struct{ City string }
	err := json.Unmarshal([]byte(text), &p)
	return want(err == nil && (p.City == "Paris" || p.City == "Lima"), "a city, got %q", text)
}
