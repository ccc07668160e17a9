package main

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/hxp-enterprise/mixtral"
	"github.com/hxp-enterprise/mixtral/internal/base/spell"
)

// explain explains an error of the command line: what was given, what is allowed, and what was probably meant.
func explain(err error) error {
	const general = "mixtral help lists the commands, mixtral help COMMAND the flags of one"
	var wrong *kong.ParseError
	if !errors.As(err, &wrong) || wrong.Context == nil {
		return withHint(err, general)
	}
	node := reached(wrong.Context)
	if m := unknownFlag.FindStringSubmatch(err.Error()); m != nil {
		return explainFlag(node, m[1], wrong.Context.Args)
	}
	if m := unknownWord.FindStringSubmatch(err.Error()); m != nil {
		return explainWord(node, m[1])
	}
	err = plain(err)
	if len(node.Children) > 0 && strings.HasPrefix(err.Error(), "expected one of ") {
		return withHint(fmt.Errorf("%s needs a command: %s", node.FullPath(), strings.Join(names(node), ", ")),
			helpFor(node))
	}
	if node.Parent == nil {
		return withHint(err, general)
	}
	return withHint(err, helpFor(node))
}

// The parser's errors of these two kinds can only be told by their text. The suggestion after the comma is not used.
var (
	unknownFlag = regexp.MustCompile(`^unknown flag (\S+?)(?:, did you mean .*)?$`)
	unknownWord = regexp.MustCompile(`(?s)^unexpected argument (.*?)(?:, did you mean .*)?$`)
)

// plainer rewrites the parser's errors about values.
var plainer = []struct {
	from *regexp.Regexp
	to   string
}{
	{regexp.MustCompile(`: expected .* value but got "EOL".*$`), ": needs a value"},
	{regexp.MustCompile(`^(--\S+): expected .* value but got "(\S+)" \((?:short|long) flag\).*$`),
		"$1: needs a value, got the flag $2 (a value that begins with - is written $1=VALUE)"},
	{regexp.MustCompile(`: bool value must be .* but got (".*")$`), ": must be true or false, got $1"},
	{regexp.MustCompile(`^(\S+) must be one of (.*?)(?:,"")? but got (".*")$`), "$1: must be one of $2, got $3"},
	{regexp.MustCompile(`^(\S+: )stat (.*): no such file or directory$`), "$1$2 does not exist"},
	{regexp.MustCompile(`: expected a valid \d+ bit int but got (".*")$`), ": must be a whole number, got $1"},
	{regexp.MustCompile(`: expected a valid \d+ bit uint but got (".*")$`), ": must be a whole number of at least 0, got $1"},
	{regexp.MustCompile(`: expected a float but got (".*") .*$`), ": must be a number, got $1"},
	{regexp.MustCompile(`: expected duration but got (".*?")(: .*)?$`),
		": must be a time with a unit, as in 10s or 1m30s, got $1"},
	{regexp.MustCompile(`^expected "(<.*)"$`), "missing argument $1"},
}

func plain(err error) error {
	for _, p := range plainer {
		if text := err.Error(); p.from.MatchString(text) {
			return errors.New(p.from.ReplaceAllString(text, p.to))
		}
	}
	return err
}

// reached returns the last command that the parser recognised.
func reached(c *kong.Context) *kong.Node {
	node := c.Model.Node
	for _, p := range c.Path {
		if p.Command != nil {
			node = p.Command
		}
	}
	return node
}

func helpFor(node *kong.Node) string {
	_, path, sub := strings.Cut(node.FullPath(), " ")
	if !sub {
		return "mixtral help lists the commands"
	}
	if len(node.Children) > 0 {
		return fmt.Sprintf("mixtral help %s lists its commands", path)
	}
	return fmt.Sprintf("mixtral help %s lists its flags and arguments", path)
}

// names returns the commands below a node, without the hidden ones.
func names(node *kong.Node) (all []string) {
	for _, n := range node.Children {
		if !n.Hidden {
			all = append(all, n.Name)
		}
	}
	return all
}

// commands returns all commands below a node that a user may call.
func commands(node *kong.Node) (all []*kong.Node) {
	for _, n := range node.Children {
		if !n.Hidden {
			all = append(append(all, n), commands(n)...)
		}
	}
	return all
}

// explainWord explains an unknown command, or an argument too many.
func explainWord(node *kong.Node, word string) error {
	if len(node.Children) == 0 {
		takes := "no arguments"
		if n := len(node.Positional); n == 1 {
			takes = "one argument, " + node.Positional[0].Summary()
		} else if n > 1 {
			takes = fmt.Sprintf("%d arguments", n)
		}
		return withHint(fmt.Errorf("unexpected argument %q: %s takes %s", word, node.FullPath(), takes), helpFor(node))
	}
	err := fmt.Errorf("unknown command %q", strings.TrimPrefix(node.FullPath()+" ", "mixtral ")+word)
	if word == "help" {
		return withHint(err, helpFor(node))
	}
	if likely := likelyCommands(node, word); len(likely) > 0 {
		return withHint(err, didYouMean(likely))
	}
	return withHint(err, fmt.Sprintf("commands of %s: %s", node.FullPath(), strings.Join(names(node), ", ")))
}

const mostSuggestions = 3

func didYouMean(likely []string) string {
	if len(likely) > mostSuggestions {
		likely = likely[:mostSuggestions]
	}
	quoted := make([]string, len(likely))
	for i, l := range likely {
		quoted[i] = fmt.Sprintf("%q", l)
	}
	return "did you mean " + strings.Join(quoted, " or ") + "?"
}

// likelyCommands returns the commands that a word may stand for, the likeliest first: those that are possible here,
// then those with the same name elsewhere, then similar names elsewhere.
func likelyCommands(node *kong.Node, word string) []string {
	root := node
	for root.Parent != nil {
		root = root.Parent
	}
	type candidate struct {
		path  string
		score int
	}
	var all []candidate
	for _, n := range commands(root) {
		d, ok := similar(word, n.Name)
		if !ok {
			continue
		}
		if n.Parent != node {
			d++ // a similar name here is likelier than one elsewhere
		}
		if n.Name == word {
			d = 0 // exactly this word exists only elsewhere
		}
		all = append(all, candidate{n.FullPath(), d})
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(a.score, b.score) })
	var paths []string
	for _, c := range all {
		if c.score <= all[0].score+1 {
			paths = append(paths, c.path)
		}
	}
	return paths
}

// explainFlag explains a flag that the command does not have.
func explainFlag(node *kong.Node, flag string, args []string) error {
	if strings.HasPrefix(flag, "-") && !strings.HasPrefix(flag, "--") {
		flag = singleDash(flag, args)
	}
	err := fmt.Errorf("unknown flag %s of %s", flag, node.FullPath())
	name := strings.ReplaceAll(strings.TrimLeft(flag, "-"), "_", "-")
	type candidate struct {
		flag  string
		score int
	}
	var here []candidate
	for _, f := range flagsOf(node) {
		if d, ok := similar(name, f.Name); ok {
			here = append(here, candidate{"--" + f.Name, d})
		}
	}
	if len(here) > 0 {
		slices.SortStableFunc(here, func(a, b candidate) int { return cmp.Compare(a.score, b.score) })
		var likely []string
		for _, c := range here {
			if c.score <= here[0].score+1 {
				likely = append(likely, c.flag)
			}
		}
		return withHint(err, didYouMean(likely))
	}
	root := node
	for root.Parent != nil {
		root = root.Parent
	}
	if key := strings.ReplaceAll(name, "-", "_"); isConfigKey(key) &&
		slices.ContainsFunc(node.Flags, func(f *kong.Flag) bool { return f.Name == "set" }) {
		return withHint(err, fmt.Sprintf("%s is a key of the configuration: --set %s=VALUE", key, key))
	}
	var owners []string
	for _, n := range commands(root) {
		if slices.ContainsFunc(n.Flags, func(f *kong.Flag) bool { return f.Name == name && !f.Hidden }) {
			owners = append(owners, n.FullPath())
		}
	}
	const mostOwners = 5 // more are no help
	switch {
	case len(owners) > mostOwners && node == root:
		return withHint(err, fmt.Sprintf("--%s is a flag of %d commands: give it after the command", name,
			len(owners)))
	case len(owners) > mostOwners:
		return withHint(err, helpFor(node))
	case len(owners) > 0 && node == root:
		return withHint(err, fmt.Sprintf("--%s is a flag of %s: give it after the command", name,
			strings.Join(owners, ", ")))
	case len(owners) > 0:
		return withHint(err, fmt.Sprintf("--%s is a flag of %s; %s", name, strings.Join(owners, ", "), helpFor(node)))
	}
	return withHint(err, helpFor(node))
}

// isConfigKey says whether the service's configuration has the key.
func isConfigKey(key string) bool {
	for field := range reflect.TypeFor[mixtral.Config]().Fields() {
		if name, _, _ := strings.Cut(field.Tag.Get("yaml"), ","); name == key {
			return true
		}
	}
	return false
}

// singleDash finds the whole word if a long flag was given with one dash: the parser names only its first letter.
func singleDash(flag string, args []string) string {
	for _, a := range args {
		if word, _, _ := strings.Cut(a, "="); len(word) > 2 && strings.HasPrefix(word, flag) {
			return word
		}
	}
	return flag
}

// flagsOf returns the flags that a command takes, including those of the commands above it.
func flagsOf(node *kong.Node) (all []*kong.Flag) {
	for _, group := range node.AllFlags(true) {
		all = append(all, group...)
	}
	return all
}

// similar says whether a word may stand for name, and how far it is from it. A prefix of two letters or more counts
// like one wrong letter; otherwise a third of the letters may be wrong.
func similar(word, name string) (distance int, ok bool) {
	word = strings.ToLower(word)
	if len(word) >= 2 && strings.HasPrefix(name, word) {
		return 1, true
	}
	d := spell.Distance(word, name)
	return d, d <= max(1, min(len(word), len(name))/3)
}
