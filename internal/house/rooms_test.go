package house_test

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// rooms are the parts of the house in the order of docs/ARCHITECTURE.md; each has a table of its own there.
var rooms = []struct{ mark, prefix string }{
	{"base", "internal/base"},
	{"llm", "internal/llm"},
	{"infer", "internal/infer"},
	{"model", "internal/model"},
	{"models", "models"},
	{"serve", "internal/serve"},
	{"certify", "internal/certify"},
	{"other", "internal"},
	{"cmd", "cmd"},
	{"public", ""}, // whatever is left
}

// room gives the index of a package's room.
func room(rel string) int {
	for i, r := range rooms {
		if r.prefix == "" || under(rel, []string{r.prefix}) {
			return i
		}
	}
	return -1
}

// TestArchitecture: the tables in docs/ARCHITECTURE.md are the packages of this module, with the ranks of this test
// and the first sentence of each doc.go. With -update they are written.
func TestArchitecture(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "ARCHITECTURE.md")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := string(data)
	for i, table := range roomTables(t) {
		mark := "<!-- packages: " + rooms[i].mark + " -->\n"
		before, after, ok := strings.Cut(want, mark)
		if !ok {
			t.Fatalf("docs/ARCHITECTURE.md has no line %s", mark)
		}
		for strings.HasPrefix(after, "|") {
			_, after, _ = strings.Cut(after, "\n")
		}
		want = before + mark + table + after
	}
	if want == string(data) {
		return
	}
	if !*update {
		t.Fatal("docs/ARCHITECTURE.md is stale: go test ./internal/house -update writes its tables of packages")
	}
	if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// roomTables gives each room's table.
func roomTables(t *testing.T) []string {
	t.Helper()
	type row struct {
		rank      int
		rel, text string
	}
	rows := make([][]row, len(rooms))
	for _, p := range packages(t) {
		if len(p.GoFiles) == 0 {
			continue
		}
		rel, _ := local(p.ImportPath)
		rank, ok := rankOf(rel)
		if !ok {
			continue // TestImportRanks says so
		}
		_, text := docOf(t, p)
		i := room(rel)
		rows[i] = append(rows[i], row{rank, rel, firstSentence(text)})
	}
	tables := make([]string, len(rooms))
	for i, list := range rows {
		if len(list) == 0 {
			t.Errorf("no package is in the room %q", rooms[i].mark)
		}
		slices.SortFunc(list, func(a, b row) int {
			return cmp.Or(cmp.Compare(a.rank, b.rank), strings.Compare(a.rel, b.rel))
		})
		var b strings.Builder
		b.WriteString("| rank | package | what it does |\n|---|---|---|\n")
		for _, r := range list {
			name := cmp.Or(r.rel, ". (package mixtral)")
			fmt.Fprintf(&b, "| %d | `%s` | %s |\n", r.rank, name, strings.ReplaceAll(r.text, "|", `\|`))
		}
		tables[i] = b.String()
	}
	return tables
}

var (
	packageWords = regexp.MustCompile(`^(?:Package|Command) \S+ (?:(?:is|holds)\s+)?`)
	sentenceEnd  = regexp.MustCompile(`[.:](?:\s+\p{Lu}|\s*\n|\s*$)`) // not the full stop of "et al. 2024"
)

// firstSentence gives what a package comment says the package does.
func firstSentence(text string) string {
	paragraph, _, _ := strings.Cut(text, "\n\n")
	paragraph = strings.Join(strings.Fields(packageWords.ReplaceAllString(paragraph, "")), " ")
	if at := sentenceEnd.FindStringIndex(paragraph); at != nil {
		paragraph = paragraph[:at[0]]
	}
	return paragraph
}

func TestFirstSentence(t *testing.T) {
	for text, want := range map[string]string{
		"Package a reads b. It is c.":                               "reads b",
		"Package a is\nthe model (Jiang et al. 2024). More.":        "the model (Jiang et al. 2024)",
		"Command a prints b: first, and last.\n\nmain.go is all.\n": "prints b: first, and last",
		"Package a holds the wire types.\n":                         "the wire types",
		"":                                                          "",
	} {
		if got := firstSentence(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
