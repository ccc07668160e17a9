package clients

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral"
	"github.com/hxp-enterprise/mixtral/internal/base/need"
	"github.com/hxp-enterprise/mixtral/test/npm"
)

var (
	update    = flag.Bool("update", false, "write the table of clients into docs/API.md")
	withHeavy = flag.Bool("all", false, "run the clients in heavy too, which take minutes to install")
)

const (
	doc  = "../../docs/API.md"
	mark = "<!-- clients -->\n"
)

// columns are the features of the table. One that a client does not have is left out of its row.
var columns = []struct{ feature, title string }{
	{"chat", "chats"}, {"stream", "streams"}, {"structured", "structured output"}, {"tools", "tools"},
	{"responses", "`/v1/responses`"}, {"models", "models"}, {"errors", "errors"},
}

// rows are the clients in their order, with the module or package whose version the table shows.
var rows = []struct{ client, version string }{
	{"openai (JavaScript)", "openai"}, {"ai, @ai-sdk/openai", "@ai-sdk/openai"},
	{"ai, @ai-sdk/openai-compatible", "@ai-sdk/openai-compatible"}, {"@langchain/openai", "@langchain/openai"},
	{"ai, @ai-sdk/anthropic", "@ai-sdk/anthropic"}, {"ai, @ai-sdk/mistral", "@ai-sdk/mistral"},
	{"llamaindex, @llamaindex/openai", "@llamaindex/openai"},
	{"@instructor-ai/instructor", "@instructor-ai/instructor"}, {"promptfoo", "promptfoo"},
	{"@mistralai/mistralai", "@mistralai/mistralai"}, {"@anthropic-ai/sdk", "@anthropic-ai/sdk"},
	{"openai-go", "github.com/openai/openai-go/v3"}, {"go-openai", "github.com/sashabaranov/go-openai"},
	{"langchaingo", "github.com/tmc/langchaingo"},
}

// TestClients: other people's clients work as docs/API.md says. All of them ask one service at the same time.
func TestClients(t *testing.T) {
	base, model := service(t)
	all := slices.Concat(official(base, model).run(t, "openai-go"), community(base, model).run(t, "go-openai"),
		langchain(base, model).run(t, "langchaingo"))
	all = append(all, scripts(t, ".", "all.mjs", base, model)...)
	for _, r := range all {
		if r.Error != "" {
			t.Logf("%s: %s: %s: %.900s", r.Client, r.Feature, r.Name, r.Error)
		}
	}
	table := write(t, append(all, heavy(t, base, model)...))
	data, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), mark)
	old, after, _ := strings.Cut(rest, "\n\n")
	if !ok {
		t.Fatalf("%s has no %s", doc, mark)
	}
	if old+"\n" == table {
		return
	}
	if *update {
		if err := os.WriteFile(doc, []byte(before+mark+table+"\n"+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, r := range all {
		if r.Error != "" {
			t.Errorf("%s: %s: %s: %s", r.Client, r.Feature, r.Name, r.Error)
		}
	}
	t.Errorf("docs/API.md has another table: go test ./clients -update writes\n%s", table)
}

// TestHarness: evaluation harnesses get what they ask for.
func TestHarness(t *testing.T) {
	base, model := service(t)
	for _, r := range harness(base, model).run(t, "lm-evaluation-harness") {
		if r.Error != "" {
			t.Errorf("%s: %s: %s", r.Feature, r.Name, r.Error)
		}
	}
}

// service serves a small model with random weights: what it is held to, it does, and nothing else can be foreseen.
func service(t *testing.T) (base, model string) {
	t.Helper()
	c := mixtral.DefaultConfig()
	c.ModelPath = "synth:tiny"
	s, err := mixtral.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	t.Cleanup(func() { server.Close(); s.Close() })
	return server.URL, s.Model().ID
}

// heavy gives the results of the clients that take minutes to install: as they were measured, or with -all anew.
func heavy(t *testing.T, base, model string) (all []result) {
	t.Helper()
	const kept = "heavy/results.json"
	if !*withHeavy {
		data, err := os.ReadFile(kept)
		if err == nil {
			err = json.Unmarshal(data, &all)
		}
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	all = scripts(t, "heavy", "promptfoo.mjs", base, model)
	data, err := json.MarshalIndent(all, "", "\t")
	if err == nil {
		err = os.WriteFile(kept, append(data, '\n'), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// scripts runs clients in JavaScript: a file of a directory, which has the packages that it needs.
func scripts(t *testing.T, dir, file, base, model string) (all []result) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		need.Missing(t, "node is not installed")
	}
	install(t, dir)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, file, base, model)
	cmd.Dir = dir
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node %s: %v\n%s", file, err, errs.Bytes())
	}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if !bytes.HasPrefix(lines.Bytes(), []byte("{\"client\"")) { // what a client says by itself
			continue
		}
		var r result
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		all = append(all, r)
	}
	return all
}

// install brings the packages of package-lock.json.
func install(t *testing.T, dir string) {
	t.Helper()
	if err := npm.Install(t.Context(), dir, "--omit=optional"); err != nil {
		need.Missing(t, "%v", err)
	}
}

// write makes the table.
func write(t *testing.T, all []result) string {
	var b strings.Builder
	b.WriteString("| client |")
	for _, c := range columns {
		b.WriteString(" " + c.title + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(columns)) + "\n")
	for _, row := range rows {
		fmt.Fprintf(&b, "| %s %s |", row.client, version(t, row.version))
		for _, c := range columns {
			b.WriteString(" " + cell(all, row.client, c.feature) + " |")
		}
		b.WriteString("\n")
	}
	for _, r := range all {
		row := slices.IndexFunc(rows, func(row struct{ client, version string }) bool {
			return row.client == r.Client
		})
		column := slices.IndexFunc(columns, func(c struct{ feature, title string }) bool {
			return c.feature == r.Feature
		})
		if row < 0 || column < 0 {
			t.Errorf("%s, %s: has no place in the table", r.Client, r.Feature)
		}
	}
	return b.String()
}

// cell says how a client's checks of a feature went.
func cell(all []result, client, feature string) string {
	text := ""
	for _, r := range all {
		switch {
		case r.Client != client || r.Feature != feature:
		case r.Error != "":
			return "no"
		default:
			text = "yes"
		}
	}
	return text
}

// version finds what is pinned.
func version(t *testing.T, name string) string {
	t.Helper()
	file, pattern := "package.json", `"`+regexp.QuoteMeta(name)+`": "(\S+)"`
	if name == "promptfoo" {
		file = "heavy/package.json"
	} else if strings.HasPrefix(name, "github.com/") {
		file, pattern = "../go.mod", `(?m)^\s*`+regexp.QuoteMeta(name)+` v(\S+)`
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(pattern).FindSubmatch(data)
	if m == nil {
		t.Fatalf("%s does not pin %s", file, name)
	}
	return string(m[1])
}
