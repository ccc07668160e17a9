package api

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
)

// section returns the text after a mark in docs/API.md, up to the second empty line.
func section(t *testing.T, doc, mark string) string {
	t.Helper()
	_, rest, ok := strings.Cut(doc, "<!-- "+mark+" -->\n")
	if !ok {
		t.Fatalf("docs/API.md has no %s", mark)
	}
	text, _, _ := strings.Cut(rest, "\n\n")
	return text
}

var quoted = regexp.MustCompile("`([a-z_]+)`")

// names lists the texts in back quotes in the given column of a table, or for column −1 in a text.
func names(text string, column int) (all []string) {
	for line := range strings.Lines(text) {
		if column >= 0 {
			cells := strings.Split(line, "|")
			if len(cells) < column+2 {
				continue
			}
			line = cells[column+1]
		}
		for _, m := range quoted.FindAllStringSubmatch(line, -1) {
			all = append(all, m[1])
		}
	}
	return all
}

// TestDocs: docs/API.md lists exactly the fields that are read, those that are refused, and the codes of errors.
func TestDocs(t *testing.T) {
	data, err := os.ReadFile("../../../docs/API.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(data)
	f := start(t)
	fields := names(section(t, doc, "fields"), 0)
	for _, field := range fields {
		wrong := `{"x":[]}`
		switch field {
		case "stream_options", "logit_bias", "response_format", "structured_outputs", "guided_json", "json_schema",
			"tools", "functions", "parallel_tool_calls":
			wrong = "5"
		}
		text, chat := `{"prompt":"a",`, `{"messages":[{"role":"user","content":"a"}],`
		path, body := "/v1/chat/completions", chat
		switch field {
		case "prompt":
			path, body = "/v1/completions", "{"
		case "messages":
			body = "{"
		case "tool_choice":
			body, wrong = chat+`"tools":[{"type":"function","function":{"name":"f"}}],`, "5"
		case "function_call":
			body, wrong = chat+`"functions":[{"name":"f"}],`, "5"
		case "logprobs":
			f.wantError("POST", "/v1/completions", text+fmt.Sprintf(`"%s":%s}`, field, wrong), 400, field)
		}
		f.wantError("POST", path, body+fmt.Sprintf(`"%s":%s}`, field, wrong), 400, field)
	}
	read := regexp.MustCompile(`\b(?:o\.(?:Text|Flag|Integer|Number|List|Raw|Child)\(|(?:schema|source|choices)Of\(o, )` +
		`"([a-z_]+)"`)
	for _, file := range []string{"request.go", "grammar.go", "complete.go", "forecast.go", "prompt.go", "tools.go"} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range read.FindAllStringSubmatch(string(source), -1) {
			if !slices.Contains(fields, m[1]) {
				t.Errorf("%s reads %s, of which docs/API.md says nothing", file, m[1])
			}
		}
	}
	var refused []string
	for _, u := range unsupportedFields {
		refused = append(refused, u.name)
	}
	if got := names(section(t, doc, "refused"), -1); !slices.Equal(got, refused) {
		t.Errorf("docs/API.md lists as refused\n%v, and the code\n%v", got, refused)
	}
	codes := names(section(t, doc, "codes"), 1)
	own := regexp.MustCompile(`code: "([a-z_]+)"`)
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !strings.HasSuffix(file.Name(), ".go") || strings.HasSuffix(file.Name(), "_test.go") {
			continue
		}
		source, err := os.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range own.FindAllStringSubmatch(string(source), -1) {
			// no client is there to read client_closed_request
			if m[1] != "client_closed_request" && !slices.Contains(codes, m[1]) {
				t.Errorf("docs/API.md does not list the code %s of %s", m[1], file.Name())
			}
		}
	}
	for _, r := range telemetry.Reasons {
		stands := slices.Contains(codes, r.Name)
		if other := slices.Contains([]string{"starting", "draining", telemetry.ReasonInvalid,
			telemetry.ReasonUpstream, telemetry.ReasonOther}, r.Name); stands == other {
			t.Errorf("%s: among the codes of docs/API.md: %v", r.Name, stands)
		}
	}
}
