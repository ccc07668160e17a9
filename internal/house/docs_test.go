package house_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// commands maps the full name of each command ("model pack") to whether it has subcommands.
type commands map[string]bool

// readCommands reads the command line's grammar from cmd/mixtral: structs whose fields have the tag cmd.
func readCommands(t *testing.T) commands {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "cmd", "mixtral", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	structs := map[string]*ast.StructType{}
	for _, path := range files {
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				if s, ok := spec.Type.(*ast.StructType); ok {
					structs[spec.Name.Name] = s
				}
			}
			return true
		})
	}
	all := commands{}
	var add func(prefix, typ string) bool
	add = func(prefix, typ string) (group bool) {
		if structs[typ] == nil {
			return false
		}
		for _, field := range structs[typ].Fields.List {
			if field.Tag == nil {
				continue
			}
			text, err := strconv.Unquote(field.Tag.Value)
			if err != nil {
				t.Fatal(err)
			}
			tag := reflect.StructTag(text)
			if _, ok := tag.Lookup("cmd"); !ok || len(field.Names) == 0 {
				continue
			}
			name, ok := tag.Lookup("name")
			if !ok {
				name = kebab.ReplaceAllString(field.Names[0].Name, "$1-$2")
			}
			full := prefix + strings.ToLower(name)
			all[full] = add(full+" ", field.Type.(*ast.Ident).Name)
			group = true
		}
		return group
	}
	if add("", "cli"); len(all) < 30 {
		t.Fatalf("only %d commands were found", len(all))
	}
	return all
}

var (
	kebab     = regexp.MustCompile(`([a-z])([A-Z])`)
	codeSpan  = regexp.MustCompile("`([^`\n]+)`")
	plainWord = regexp.MustCompile(`^[a-z-]+$`)
)

// unknown gives the part of a command line that is not a command, and "" if all of it is. A line that does not begin
// with the program's name counts if its first word has subcommands, as in "model pack".
func (all commands) unknown(line string) string {
	args := strings.Fields(line)
	whole := len(args) > 0 && args[0] == "mixtral"
	if whole {
		args = args[1:]
	} else if len(args) == 0 || !all[args[0]] {
		return ""
	}
	prefix := ""
	for _, arg := range args {
		if prefix == "" && arg == "--raw-output" {
			continue
		}
		for name := range strings.SplitSeq(strings.TrimRight(arg, ",.;:"), "|") { // list|show|init
			if !plainWord.MatchString(name) || strings.HasPrefix(name, "-") {
				return "" // a flag, or a placeholder
			}
			if _, ok := all[prefix+name]; !ok {
				return prefix + name
			}
			arg = name
		}
		if !all[prefix+arg] {
			return ""
		}
		prefix += arg + " "
	}
	return ""
}

func TestUnknownCommand(t *testing.T) {
	all := commands{"serve": false, "model": true, "model pack": false, "model list": false}
	for line, want := range map[string]string{
		"mixtral serve --model X": "", "mixtral --version": "", "mixtral": "", "mixtral COMMAND": "",
		"model pack --undo": "", "mixtral model list|pack": "", "serve it": "", "mixtral model unpack": "model unpack",
		"model unpack": "model unpack", "mixtral pull": "pull", "mixtral model list|show": "model show",
		"mixtral serve well": "",
	} {
		if got := all.unknown(line); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

// TestDocsNameRealCommands: whoever copies a command from a document must not get "unknown command".
func TestDocsNameRealCommands(t *testing.T) {
	all, checked := readCommands(t), 0
	check := func(path string, n int, line string) {
		if strings.HasPrefix(line, "mixtral ") {
			checked++
		}
		if name := all.unknown(line); name != "" {
			t.Errorf("%s:%d names the command %q, and there is no such command", path, n+1, name)
		}
	}
	walk(t, ".md", func(path string, data []byte) {
		fenced := false
		for n, line := range strings.Split(string(data), "\n") {
			switch {
			case strings.HasPrefix(strings.TrimSpace(line), "```"):
				fenced = !fenced
			case fenced, strings.HasPrefix(line, "    "):
				if line = strings.TrimSpace(line); strings.HasPrefix(line, "mixtral ") {
					check(path, n, line)
				}
			default:
				for _, m := range codeSpan.FindAllStringSubmatch(line, -1) {
					check(path, n, m[1])
				}
			}
		}
	})
	if checked < 100 {
		t.Errorf("only %d commands were checked", checked)
	}
}

// TestDocsHaveNoRowTwice: two rows of one table about the same thing contradict each other sooner or later.
func TestDocsHaveNoRowTwice(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "docs", "SECURITY.md"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 { // not in a table, or its end
			clear(seen)
			continue
		}
		if seen[cells[1]] {
			t.Errorf("docs/SECURITY.md has two rows for %s", strings.TrimSpace(cells[1]))
		}
		seen[cells[1]] = true
	}
}

var (
	bankRow      = regexp.MustCompile(`(?m)^\| ([a-z-]+) \| (\d+) \| \d+ \| (\d+) \| \d+ \| (?:([a-z-]+) (\d+)/\d+)?`)
	bankSentence = regexp.MustCompile(`(\d+) kinds of faults were each found in at least (\d+) of (\d+) runs\. ` +
		`Of (\d+) runs of healthy servers, (\d+) failed`)
)

// TestReadmeHasTheBanksFigures: how often the certifier is wrong is in one table, which its test writes. What README
// says of it is counted here from that table.
func TestReadmeHasTheBanksFigures(t *testing.T) {
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join("..", "..", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	_, table, _ := strings.Cut(read("docs/CERTIFIER.md"), "<!-- bank: begin -->")
	table, _, ok := strings.Cut(table, "<!-- bank: end -->")
	if !ok {
		t.Fatal("docs/CERTIFIER.md has no table between the marks of the bank")
	}
	kinds, least, each, healthy, blamed := 0, 0, 0, 0, 0
	for _, m := range bankRow.FindAllStringSubmatch(table, -1) {
		number := func(i int) int {
			n, err := strconv.Atoi(m[i])
			if err != nil {
				t.Fatalf("%q: %v", m[0], err)
			}
			return n
		}
		switch {
		case strings.HasPrefix(m[1], "healthy"):
			healthy, blamed = healthy+number(2), blamed+number(3)
		case m[4] == "passed": // a short run cannot find this fault
		default:
			if kinds == 0 || number(5) < least {
				least = number(5)
			}
			kinds, each = kinds+1, number(2)
		}
	}
	if kinds < 10 || healthy == 0 {
		t.Fatalf("the table has %d faults and %d runs of healthy servers: its form has changed", kinds, healthy)
	}
	want := fmt.Sprintf("%d kinds of faults were each found in at least %d of %d runs. Of %d runs of healthy "+
		"servers, %d failed", kinds, least, each, healthy, blamed)
	got := bankSentence.FindString(strings.Join(strings.Fields(read("README.md")), " "))
	if got != want {
		t.Errorf("README.md says %q, must say %q as the table in docs/CERTIFIER.md does", got, want)
	}
}
