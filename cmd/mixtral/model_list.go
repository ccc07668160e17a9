package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/hxp-enterprise/mixtral/internal/model/catalog"
)

// modelListCmd shows the catalogue.
type modelListCmd struct {
	JSON bool `help:"Print JSON."`
}

// catalogued is what list --json prints for each model.
type catalogued struct {
	catalog.Known
	Pulled map[string]string `json:"pulled"` // paths by type
}

func (c modelListCmd) Run(a *app) error {
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
	return t.Flush()
}
