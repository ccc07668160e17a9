package main

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral"
)

// TestOneVersion: the program, its service and its metrics say the same version.
func TestOneVersion(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run(&app{ctx: t.Context(), stdout: &out, stderr: &errs, getenv: func(string) string { return "" }},
		[]string{"version"}); code != 0 {
		t.Fatal(code, errs.String())
	}
	fields := strings.Fields(out.String())
	if len(fields) < 4 || fields[0] != "mixtral" {
		t.Fatalf("version prints %q", out.String())
	}
	s, err := mixtral.New(mixtral.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	get := func(path string) string {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w.Body.String()
	}
	var v struct{ Version string }
	if err := json.Unmarshal([]byte(get("/version")), &v); err != nil || v.Version != fields[1] {
		t.Errorf("/version says %q, mixtral version %q: %v", v.Version, fields[1], err)
	}
	if want := `mixtral_build_info{version="` + fields[1] + `"} 1`; !strings.Contains(get("/metrics"), want) {
		t.Errorf("the metrics do not say %s", want)
	}
}
