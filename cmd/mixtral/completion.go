package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/hxp-enterprise/mixtral"
	"github.com/hxp-enterprise/mixtral/internal/model/catalog"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// completionCmd prints a shell's script for completing command lines.
type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish. Load the script with: source <(mixtral completion bash), or mixtral completion fish | source."`
}

// shells holds the scripts. They ask the program itself, which knows its own grammar. If it has no answer, they offer
// files. Bash splits words at : and =, which occur in names of models, so the part of a word before these is cut off
// each answer.
var shells = map[string]string{
	"bash": `_mixtral() {
	local line="${COMP_LINE:0:COMP_POINT}" cur="${COMP_WORDS[COMP_CWORD]}" IFS=$'\n'
	[[ $cur == [:=] ]] && cur=
	local word="${line##* }"
	local kept="${word%"$cur"}"
	COMPREPLY=($(mixtral complete-line --line="$line" 2>/dev/null))
	COMPREPLY=("${COMPREPLY[@]#"$kept"}")
}
complete -o default -F _mixtral mixtral
`,
	"zsh": `#compdef mixtral
_mixtral() {
	local -a found
	found=("${(@f)$(mixtral complete-line --line="${(j: :)words[1,CURRENT]}" 2>/dev/null)}")
	if [[ -n "$found" ]]; then compadd -- $found; else _files; fi
}
compdef _mixtral mixtral
`,
	"fish": `complete -c mixtral -a '(mixtral complete-line --line=(commandline -cp | string collect) 2>/dev/null)'
`,
}

func (c completionCmd) Run(a *app) error {
	_, err := fmt.Fprint(a.stdout, shells[c.Shell])
	return err
}

// completeLineCmd is the command that the shells' scripts call.
type completeLineCmd struct {
	Line string `required:"" help:"The command line up to the cursor, with the program's name."`
}

func (c completeLineCmd) Run(a *app) error {
	parser, err := kong.New(&cli{})
	if err != nil {
		return err
	}
	for _, word := range complete(parser.Model.Node, c.Line) {
		if _, err := fmt.Fprintln(a.stdout, word); err != nil {
			return err
		}
	}
	return nil
}

// complete returns the possible completions of the last word of a command line.
func complete(node *kong.Node, line string) []string {
	words := strings.Split(line, " ")
	last := words[len(words)-1]
	flags := node.Flags
	var valued *kong.Flag // the word before is this flag, which needs a value
	for _, word := range words[1 : len(words)-1] {
		if word == "" || valued != nil {
			valued = nil
			continue
		}
		if name, ok := strings.CutPrefix(word, "-"); ok {
			if i := slices.IndexFunc(flags, func(f *kong.Flag) bool {
				return "-"+f.Name == name || f.Short != 0 &&
					string(f.Short) == name
			}); i >= 0 && !flags[i].IsBool() {
				valued = flags[i]
			}
			continue
		}
		if i := slices.IndexFunc(node.Children, func(n *kong.Node) bool { return n.Name == word }); i >= 0 {
			if node.Children[i].Name == "help" {
				continue // a command follows, as without this word
			}
			node = node.Children[i]
			flags = append(slices.Clone(flags), node.Flags...)
		}
	}
	var all []string
	switch name, _, assigned := strings.Cut(last, "="); {
	case valued != nil:
		all = values(valued.Value)
	case assigned && strings.HasPrefix(name, "--"):
		for _, f := range flags {
			if "--"+f.Name == name {
				for _, v := range values(f.Value) {
					all = append(all, name+"="+v)
				}
			}
		}
	case strings.HasPrefix(last, "-"):
		for _, f := range flags {
			if !f.Hidden {
				all = append(all, "--"+f.Name)
			}
		}
	default:
		for _, n := range node.Children {
			if !n.Hidden {
				all = append(all, n.Name)
			}
		}
		for _, p := range node.Positional {
			all = append(all, values(p)...)
		}
	}
	return slices.DeleteFunc(all, func(s string) bool { return !strings.HasPrefix(s, last) })
}

// values returns the known values of a flag or an argument; the shell finds files.
func values(v *kong.Value) (all []string) {
	if v.Enum != "" {
		return v.EnumSlice()
	}
	switch v.Name {
	case "model", "source":
		for _, k := range catalog.Names() {
			if len(k.Types) == 0 {
				all = append(all, k.Name)
			}
			for _, typ := range k.Types {
				all = append(all, k.Name+":"+typ)
			}
		}
		if v.Name == "model" {
			all = append(all, "demo")
			for _, preset := range synth.Presets() {
				all = append(all, "synth:"+preset)
			}
		}
	case "log-level":
		all = []string{"debug", "info", "warn", "error", "off"}
	case "kv-type":
		all = []string{"f16", "q8_0"}
	case "backend":
		all = []string{string(mixtral.BackendEmbedded), string(mixtral.BackendVLLM)}
	}
	return all
}
