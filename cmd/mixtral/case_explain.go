package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/testcases"
)

type caseExplainCmd struct {
	What string `arg:"" optional:"" default:"TC-L1-COMP-MIXTRAL-003" help:"Id of a built-in test case, path of a case file, a key of case files (such as limits.stall_ms), or a rule (such as goodput)."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// explained is what case explain --json prints.
type explained struct {
	Keys []testcases.Key `json:"keys,omitempty"`
	Rule *explainedRule  `json:"rule,omitempty"`
	Case *explainedCase  `json:"case,omitempty"`
}

type explainedRule struct {
	Rule       string `json:"rule"`
	Asks       string `json:"asks"`
	Phase      bool   `json:"needs_phase"`
	Percentile bool   `json:"needs_p"`
	Target     string `json:"target,omitempty"`
}

type explainedCase struct {
	ID       string              `json:"id"`
	Name     string              `json:"name"`
	Profiles map[string][]string `json:"profiles"` // what each profile asks of a server, in lines
	Checks   []string            `json:"checks"`
}

func (c *caseExplainCmd) Run(a *app) error {
	r := explained{Keys: testcases.FindKeys(c.What)}
	if info, ok := testcases.Rule(c.What).Info(); ok {
		r.Rule = &explainedRule{c.What, info.Asks, info.Phase, info.Percentile, info.Needs}
	}
	_, missing := os.Stat(c.What)
	if len(r.Keys) == 0 && r.Rule == nil || missing == nil {
		l, err := certify.Load(c.What, nil)
		if errors.Is(err, testcases.ErrNotFound) {
			err = withHint(usageError(fmt.Errorf("%q is not a case, key or rule", c.What)),
				"mixtral case list has the cases, docs/CASES.md the keys and rules")
		}
		if err != nil {
			return certifyError(a, err)
		}
		r = explained{Case: explainCase(l)}
	}
	if c.JSON {
		return printJSON(a.stdout, r)
	}
	return r.print(a.stdout)
}

func explainCase(l *testcases.Loaded) *explainedCase {
	c := l.Case
	out := &explainedCase{ID: c.ID, Name: c.Name, Profiles: map[string][]string{}}
	for name := range c.Profiles {
		out.Profiles[name] = strings.Split(certify.Arithmetic(c, name, len(l.Prompts.Prompts)), "\n")
	}
	for _, x := range c.Checks {
		info, _ := x.Rule.Info()
		line := x.ID + ": " + x.Clause + " (" + string(x.Rule)
		if x.P > 0 {
			line += fmt.Sprintf(" p%g", 100*x.P)
		}
		if x.Phase != "" {
			line += " in " + x.Phase
		}
		if limit := c.Limit(x); limit > 0 && info.Op != "" {
			line += fmt.Sprintf(" %s %g", info.Op, limit)
		}
		if line += ")"; x.Gate != nil && !*x.Gate {
			line += ", no gate"
		}
		out.Checks = append(out.Checks, line)
	}
	return out
}

func (r *explained) print(w io.Writer) error {
	var b strings.Builder
	for _, k := range r.Keys {
		fmt.Fprintf(&b, "%s (%s)\n  %s\n", k.Path, k.Type, k.Text)
		if len(k.Allowed) > 0 {
			fmt.Fprintf(&b, "  allowed: %s\n", strings.Join(k.Allowed, ", "))
		}
	}
	if x := r.Rule; x != nil {
		fmt.Fprintf(&b, "rule %s\n  %s\n", x.Rule, x.Asks)
		if x.Phase {
			b.WriteString("  needs phase\n")
		}
		if x.Percentile {
			b.WriteString("  needs p, a percentile such as 0.99\n")
		}
		if x.Target != "" {
			fmt.Fprintf(&b, "  needs target, limit or %s\n", x.Target)
		}
	}
	if x := r.Case; x != nil {
		fmt.Fprintf(&b, "%s %s\n", x.ID, x.Name)
		for _, name := range slices.Sorted(maps.Keys(x.Profiles)) {
			fmt.Fprintf(&b, "\nprofile %s\n%s\n", name, strings.Join(x.Profiles[name], "\n"))
		}
		fmt.Fprintf(&b, "\nchecks\n%s", bulleted(x.Checks))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
