package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/hxp-enterprise/mixtral/certify/prompts"
	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
)

type promptsCmd struct {
	Generate promptsGenerateCmd `cmd:"" help:"Write a file of seeded prompts with rubrics, and with answers to check where possible."`
	Check    promptsCheckCmd    `cmd:"" help:"Report errors and doubtful parts of a prompt file; exit code 2 if it cannot be used."`
}

type promptsGenerateCmd struct {
	Seed     uint64   `default:"1" placeholder:"N" help:"Seed; the same seed and options give the same file; default: ${default}."`
	Category []string `placeholder:"NAME" help:"Categories: reasoning, analysis, generation, separated by commas; default: all."`
	Level    []string `placeholder:"NAME" help:"Levels: simple, medium, complex (reasoning, analysis) and creative (generation), separated by commas; default: all."`
	Tokens   int      `range:"0..30000" placeholder:"N" help:"Length of each prompt in Mixtral's tokens, estimated to within 5 % from 300 on. Background notes fill it up. Default: 0, the question alone."`
	Count    int      `range:"0..100000" placeholder:"N" help:"Number of prompts; default: 0, one of each category and level, with the keys of the built-in prompt file."`
	Out      string   `short:"o" default:"-" placeholder:"FILE" help:"File to write; default: -, standard output."`
	JSON     bool     `help:"With --out FILE, print the file's name and what it holds as JSON."`
}

func (c *promptsGenerateCmd) Run(a *app) error {
	if c.JSON && c.Out == "-" {
		return usageError(errors.New("--json needs --out FILE: the prompts themselves, which are JSON, go to " +
			"standard output"))
	}
	set, err := prompts.Generate(prompts.Options{Seed: c.Seed, Categories: c.Category, Levels: c.Level,
		Tokens: c.Tokens, Count: c.Count})
	if err != nil {
		return usageError(err)
	}
	data, err := set.Encode()
	if err != nil {
		return err
	}
	if c.Out == "-" {
		_, err = a.stdout.Write(data)
		return err
	}
	if err := os.WriteFile(c.Out, data, 0o644); err != nil {
		return usageError(err)
	}
	if c.JSON {
		return printJSON(a.stdout, generated{c.Out, countSet(set)})
	}
	fmt.Fprintf(a.stderr, "wrote %v to %s\n", countSet(set), c.Out)
	return nil
}

// generated is what generate --json prints.
type generated struct {
	File string `json:"file"`
	counts
}

// counts says what a prompt file holds.
type counts struct {
	Prompts   int `json:"prompts"`
	Rubrics   int `json:"with_rubrics"`
	Checkable int `json:"with_answers"` // to check
	Tokens    int `json:"mean_tokens"`  // estimated
}

func countSet(s *prompts.Set) counts {
	n := counts{Prompts: len(s.Prompts)}
	for _, p := range s.Prompts {
		n.Tokens += prompts.EstimateTokens(p.Text)
		if p.Rubric != nil {
			n.Rubrics++
			if len(p.Rubric.Answers) > 0 {
				n.Checkable++
			}
		}
	}
	n.Tokens /= len(s.Prompts)
	return n
}

func (n counts) String() string {
	return fmt.Sprintf("%d prompts (%d with rubrics, %d with checkable answers, about %d tokens each)", n.Prompts,
		n.Rubrics, n.Checkable, n.Tokens)
}

type promptsCheckCmd struct {
	File   string `arg:"" help:"Prompt file."`
	Strict bool   `help:"Exit with code 1 if anything is doubtful."`
	JSON   bool   `help:"Print JSON."`
}

// checked is what check prints.
type checked struct {
	File     string   `json:"file"`
	Prompts  int      `json:"prompts"`
	Doubtful []string `json:"doubtful"`
}

func (c *promptsCheckCmd) Run(a *app) error {
	data, err := bounded.File(c.File, prompts.MostBytes)
	if err != nil {
		return usageError(err)
	}
	set, err := prompts.Load(data)
	if err != nil {
		where := c.File
		if line, column, ok := prompts.Place(data, err); ok {
			where = fmt.Sprintf("%s:%d:%d", c.File, line, column)
		}
		err = fmt.Errorf("%s: %w", where, err)
		if errors.Is(err, prompts.ErrInvalid) {
			err = withHint(err, "mixtral prompts generate writes a file of the right shape")
		}
		return usageError(err)
	}
	r := checked{File: c.File, Prompts: len(set.Prompts), Doubtful: set.Check()}
	if c.JSON {
		if r.Doubtful == nil {
			r.Doubtful = []string{}
		}
		err = printJSON(a.stdout, r)
	} else {
		_, err = fmt.Fprintf(a.stdout, "%s: %v\n%s", c.File, countSet(set), bulleted(r.Doubtful))
	}
	if err == nil && c.Strict && len(r.Doubtful) > 0 {
		return exitWith(exitFail)
	}
	return err
}

func bulleted(lines []string) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString("  " + l + "\n")
	}
	return b.String()
}
