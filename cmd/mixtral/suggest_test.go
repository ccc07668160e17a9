package main

import (
	"slices"
	"testing"

	"github.com/alecthomas/kong"
)

// TestEveryResultAsJSON: a command that prints a result can print it as JSON.
func TestEveryResultAsJSON(t *testing.T) {
	without := map[string]string{
		"mixtral serve":      "serves until it is stopped",
		"mixtral generate":   "serves until it is stopped",
		"mixtral help":       "prints text for people",
		"mixtral completion": "prints a shell's script",
	}
	parser, err := kong.New(&cli{}, kong.Name("mixtral"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, n := range commands(parser.Model.Node) {
		if len(n.Children) > 0 {
			continue
		}
		has := slices.ContainsFunc(n.Flags, func(f *kong.Flag) bool { return f.Name == "json" })
		switch reason := without[n.FullPath()]; {
		case !has && reason == "":
			t.Errorf("%s prints a result and has no --json", n.FullPath())
		case has && reason != "":
			t.Errorf("%s has --json, and is listed to have none: %s", n.FullPath(), reason)
		case reason != "":
			found++
		}
	}
	if found != len(without) {
		t.Errorf("%d of %d commands without --json are there", found, len(without))
	}
}

// TestEverySlipIsFound: for any command, one wrong letter in its name, or the name without its group, leads to it.
func TestEverySlipIsFound(t *testing.T) {
	parser, err := kong.New(&cli{}, kong.Name("mixtral"))
	if err != nil {
		t.Fatal(err)
	}
	root := parser.Model.Node
	for _, n := range commands(root) {
		if got := likelyCommands(root, n.Name); !slices.Contains(got, n.FullPath()) {
			t.Errorf("%q: %v, without %s", n.Name, got, n.FullPath())
		}
		for i := range n.Name {
			swapped := []byte(n.Name)
			if i > 0 {
				swapped[i-1], swapped[i] = swapped[i], swapped[i-1]
			}
			for _, slip := range []string{n.Name[:i] + n.Name[i+1:], n.Name[:i] + "x" + n.Name[i:], string(swapped)} {
				if slices.Contains(names(n.Parent), slip) || slip == "" {
					continue
				}
				if got := likelyCommands(n.Parent, slip); !slices.Contains(got, n.FullPath()) {
					t.Errorf("%q below %q: %v, without %s", slip, n.Parent.FullPath(), got, n.FullPath())
				}
			}
		}
	}
}
