package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/internal/base/noun"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// caseCmd is about test cases as files.
type caseCmd struct {
	List    caseListCmd    `cmd:"" help:"List the built-in test cases."`
	Show    caseShowCmd    `cmd:"" help:"Print a case file, together with the case that it extends."`
	Init    caseInitCmd    `cmd:"" help:"Write a new case file, to edit."`
	Schema  caseSchemaCmd  `cmd:"" help:"Print the JSON Schema of case files, for editors."`
	Check   caseCheckCmd   `cmd:"" help:"Validate a case file and the files that it names; exit code 2 if it cannot be used."`
	Explain caseExplainCmd `cmd:"" help:"Say in words what a case does, or what a key or a rule of case files means."`
}

type caseListCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// listedCase is what case list --json prints of each case.
type listedCase struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	Profiles []string `json:"profiles"`
	Checks   int      `json:"checks"`
}

func (c *caseListCmd) Run(a *app) error {
	var all []listedCase
	for _, id := range testcases.List() {
		l, err := testcases.Load(id)
		if err != nil {
			return err
		}
		all = append(all, listedCase{id, l.Case.Name, slices.Sorted(maps.Keys(l.Case.Profiles)), len(l.Case.Checks)})
	}
	if c.JSON {
		return printJSON(a.stdout, all)
	}
	t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, l := range all {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s %s\n", l.ID, l.Name, noun.Of(l.Checks, "check", "checks"),
			noun.For(len(l.Profiles), "profile", "profiles"), strings.Join(l.Profiles, ", "))
	}
	return t.Flush()
}

type caseShowCmd struct {
	Case string `arg:"" optional:"" default:"TC-L1-COMP-MIXTRAL-003" help:"Id of a built-in test case, or path of a case file."`
	JSON bool   `name:"json" help:"Print the whole case as JSON, defaults included."`
}

func (c *caseShowCmd) Run(a *app) error {
	l, err := testcases.Load(c.Case)
	if err != nil {
		return certifyError(a, err)
	}
	if c.JSON {
		return printJSON(a.stdout, l.Case)
	}
	_, err = a.stdout.Write(l.Source)
	return err
}

type caseInitCmd struct {
	File    string `arg:"" help:"File to write; - is standard output."`
	Extends string `default:"CHAT-INTERACTIVE" placeholder:"CASE" help:"Built-in case or case file that the new one extends; default: ${default}."`
	ID      string `name:"id" default:"MY-CASE" placeholder:"ID" help:"Id of the new case; default: ${default}."`
	Force   bool   `help:"Replace the file if it exists."`
	JSON    bool   `name:"json" help:"Print the file's name as JSON."`
}

// caseStart is the text that case init writes. Its values are the id, the case that it extends, one of that case's
// profiles, its open phase and a rate.
const caseStart = `# What this case does not say comes from %[2]s: mixtral case show %[2]s.
# mixtral case explain KEY says what a key means; docs/CASES.md has all of them.
schema_version: 1
id: %[1]s
name: Our traffic
extends: %[2]s

targets:
  throughput_rps: %[5]g # requests a second

slo:
  # Each becomes a check. Metrics: ttft, tpot, itl, latency; statistics: mean, p50, p99, …
  %[4]s: ttft:p99<2s,tpot:p99<200ms,goodput>=90%%

profiles:
  %[3]s:
    # A phase with the id of one below changes it; what it does not say stays.
    - id: %[4]s
      duration_s: 60
      # Prompts of your own:
      # traffic: {file: prompts.jsonl, format: jsonl}
`

func (c *caseInitCmd) Run(a *app) error {
	l, err := testcases.Load(c.Extends)
	if err != nil {
		return certifyError(a, err)
	}
	profile := slices.Sorted(maps.Keys(l.Case.Profiles))[0]
	if _, ok := l.Case.Profiles[certify.DefaultProfile]; ok {
		profile = certify.DefaultProfile
	}
	phase := ""
	for _, ph := range l.Case.Profiles[profile] {
		if ph.Kind == testcases.KindOpen {
			phase = ph.ID
			break
		}
	}
	if phase == "" {
		return usageError(fmt.Errorf("--extends: profile %s of %s has no open phase to begin with", profile,
			c.Extends))
	}
	text := fmt.Sprintf(caseStart, c.ID, c.Extends, profile, phase, max(l.Case.Targets.ThroughputRPS, 1))
	if c.File == "-" {
		if c.JSON {
			return usageError(errors.New("--json and the file - cannot be used together: the case itself goes to " +
				"standard output"))
		}
		_, err = io.WriteString(a.stdout, text)
		return err
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if c.Force {
		flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	f, err := os.OpenFile(c.File, flags, 0o644)
	if errors.Is(err, os.ErrExist) {
		return usageError(withHint(fmt.Errorf("%s is there already", c.File), "--force replaces it"))
	}
	if err != nil {
		return usageError(err)
	}
	_, err = io.WriteString(f, text)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(a.stdout, map[string]string{"file": c.File})
	}
	fmt.Fprintf(a.stderr, "wrote %s; mixtral case explain %s says what it does\n", c.File, c.File)
	return nil
}

type caseSchemaCmd struct {
	JSON bool `name:"json" help:"Print JSON; the schema is JSON in any case."`
}

func (c *caseSchemaCmd) Run(a *app) error {
	data, err := testcases.Schema()
	if err == nil {
		_, err = a.stdout.Write(data)
	}
	return err
}

type caseCheckCmd struct {
	Case string   `arg:"" help:"Id of a built-in test case, or path of a case file."`
	Set  []string `sep:"none" placeholder:"KEY=VALUE" help:"Override a value of the case, such as targets.throughput_rps=80; repeatable."`
	SLO  []string `name:"slo" sep:"none" placeholder:"LIST" help:"Objectives to add, such as ttft:p99<2s,tpot:p99<200ms; PHASE=LIST for one phase; default: the open phases. Repeatable."`
	JSON bool     `name:"json" help:"Print JSON."`
}

// caseChecked is what case check --json prints.
type caseChecked struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	Profiles []string `json:"profiles"`
	Checks   int      `json:"checks"`
	Prompts  int      `json:"prompts"`
}

func (c *caseCheckCmd) Run(a *app) error {
	l, err := certify.LoadSLO(c.Case, c.Set, c.SLO)
	if err != nil {
		return certifyError(a, err)
	}
	profiles := slices.Sorted(maps.Keys(l.Case.Profiles))
	for _, profile := range profiles {
		if err := certify.CheckTraffic(l, profile); err != nil {
			return certifyError(a, fmt.Errorf("%s: %w", c.Case, err))
		}
	}
	r := caseChecked{l.Case.ID, l.Case.Name, profiles, len(l.Case.Checks), len(l.Prompts.Prompts)}
	if c.JSON {
		return printJSON(a.stdout, r)
	}
	_, err = fmt.Fprintf(a.stdout, "%s %s: %s, %s %s, %s\n", r.ID, r.Name, noun.Of(r.Checks, "check", "checks"),
		noun.For(len(r.Profiles), "profile", "profiles"), strings.Join(r.Profiles, ", "),
		noun.Of(r.Prompts, "prompt", "prompts"))
	return err
}
