package grammar

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocs: docs/API.md lists the keywords that are kept and some that are refused, and the formats: no more and no
// fewer.
func TestDocs(t *testing.T) {
	data, err := os.ReadFile("../../../docs/API.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(data)
	quoted := func(begin, end string) (names []string) {
		_, rest, ok := strings.Cut(doc, begin)
		if !ok {
			t.Fatalf("docs/API.md has no %q", begin)
		}
		text, _, _ := strings.Cut(rest, end)
		for _, m := range regexp.MustCompile("`([$A-Za-z0-9-]+)`").FindAllStringSubmatch(text, -1) {
			names = append(names, m[1])
		}
		return names
	}
	kept := quoted("| kept |", "\n")
	for name := range keywords {
		if name != "uniqueItems" && name[0] != 0 && !slices.Contains(kept, name) {
			t.Errorf("%s is kept, and docs/API.md does not say so", name)
		}
	}
	for _, name := range kept {
		if keywords[name] == nil && !silent[name] {
			t.Errorf("docs/API.md says that %s is kept", name)
		}
	}
	for _, name := range quoted("other vocabularies (", "and the like") {
		if _, ok := foreign[name]; !ok {
			t.Errorf("docs/API.md says that %s is refused", name)
		}
	}
	listed := quoted("Formats: ", "\n\n")
	for name := range formats {
		if formats[name] != "" && !slices.Contains(listed, name) {
			t.Errorf("the format %s is not in docs/API.md", name)
		}
	}
	for _, name := range listed {
		if _, ok := formats[name]; !ok {
			t.Errorf("docs/API.md has a format %s", name)
		}
	}
}
