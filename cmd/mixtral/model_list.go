package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/hxp-enterprise/mixtral"
	"github.com/hxp-enterprise/mixtral/internal/model/catalog"
)

// modelListCmd shows the catalogue, and the packed copies in the cache directory.
type modelListCmd struct {
	Packed bool `help:"List only the packed copies in the cache directory, from which models start at once."`
	JSON   bool `help:"Print JSON."`
}

// catalogued is what list --json prints for each model.
type catalogued struct {
	catalog.Known
	Pulled map[string]string `json:"pulled"` // paths by type
}

// packedCopy is what list --packed --json prints for each packed copy.
type packedCopy struct {
	Model   string `json:"model"` // file that it was made from; empty: unknown
	Path    string `json:"path"`
	Bytes   int64  `json:"bytes"`
	Current bool   `json:"current"` // false: the model has changed or is gone; the next copy's writer deletes it
}

func (c modelListCmd) Run(a *app) error {
	packed := packedCopies()
	if c.Packed {
		if c.JSON {
			return printJSON(a.stdout, packed)
		}
		return printPacked(a, packed, "no packed copies")
	}
	all := []catalogued{}
	for _, k := range catalog.Names() {
		l := catalogued{k, map[string]string{}}
		for _, typ := range k.Types {
			one := k
			one.Type = typ
			if path, ok := one.Find(a.getenv); ok {
				l.Pulled[typ] = path
			}
		}
		all = append(all, l)
	}
	if c.JSON {
		return printJSON(a.stdout, all)
	}
	t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "name\ttypes\tmodel")
	for _, l := range all {
		var types []string
		for _, typ := range l.Types {
			if _, ok := l.Pulled[typ]; ok {
				typ += " (here)"
			}
			types = append(types, typ)
		}
		if len(types) == 0 {
			types = []string{"safetensors"}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", l.Name, strings.Join(types, ", "), l.Title)
	}
	if err := t.Flush(); err != nil || len(packed) == 0 {
		return err
	}
	fmt.Fprintln(a.stdout)
	return printPacked(a, packed, "")
}

// packedCopies lists the packed copies in the cache directory; none if there is no directory.
func packedCopies() []packedCopy {
	config, err := mixtral.LoadConfig("")
	if err != nil {
		config = mixtral.DefaultConfig() // commands that serve report errors in the environment
	}
	all := []packedCopy{}
	copies, _ := catalog.PackedCopies(catalog.Options{CacheDir: config.CacheDir})
	for _, p := range copies {
		all = append(all, packedCopy{p.Source, p.Path, p.Bytes, p.Current()})
	}
	return all
}

func printPacked(a *app, all []packedCopy, none string) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(a.stdout, none)
		return err
	}
	t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "packed copy of\tsize\tfile")
	for _, p := range all {
		source := p.Model
		switch {
		case source == "":
			source = "(unknown)"
		case !p.Current:
			source += " (changed or gone)"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", source, size(p.Bytes), p.Path)
	}
	return t.Flush()
}
