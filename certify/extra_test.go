package certify_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/certify/target"
)

// TestAKeyThatWasGivenGetsAnotherHint checks that the hint for a refused key differs from the hint for a missing key.
func TestAKeyThatWasGivenGetsAnotherHint(t *testing.T) {
	t.Parallel()
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"error":{"message":"no"}}`)
	}))
	defer h.Close()
	for key, says := range map[string]string{"": "give the server's key", "k": "the key that was given is refused"} {
		_, err := certify.Run(t.Context(), certify.Options{Case: short, Target: h.URL, APIKey: key,
			ReportDir: t.TempDir()})
		if !errors.Is(err, target.ErrUnauthorized) || !strings.Contains(target.Hint(err), says) {
			t.Errorf("key %q: %v, hint %q", key, err, target.Hint(err))
		}
	}
}

func TestExtrasThatCannotBeSent(t *testing.T) {
	for says, o := range map[string]certify.Options{
		"must be NAME: VALUE":                   {Headers: []string{"api-key"}},
		"the load generator sets it itself":     {Headers: []string{"Content-Length: 3"}},
		"must be NAME=VALUE":                    {Query: []string{"v"}},
		"must be KEY=VALUE or a JSON object":    {Body: []string{"top_k"}},
		"must be a JSON object":                 {Body: []string{"{"}},
		`body field "stream": the case decides`: {Body: []string{"stream=false"}},
	} {
		o.Case, o.Target, o.ReportDir = short, "http://127.0.0.1:1", t.TempDir()
		if _, err := certify.Run(t.Context(), o); !errors.Is(err, certify.ErrOptions) ||
			!strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
}
