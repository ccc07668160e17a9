package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
)

// cli is the grammar of the command line. Scripts depend on it: add to it, but change nothing.
type cli struct {
	Certify  certifyCmd  `cmd:"" help:"Run a certification test case against a service and print the verdict."`
	Serve    serveCmd    `cmd:"" help:"Serve Mixtral behind an OpenAI-compatible API."`
	Run      runCmd      `cmd:"" help:"Answer one prompt, or hold a conversation in the terminal."`
	Bench    benchCmd    `cmd:"" help:"Measure the speed of prefill and decoding, and compare it with the hardware's limits."`
	Model    modelCmd    `cmd:"" help:"Download, convert, inspect and check model files."`
	Eval     evalCmd     `cmd:"" help:"Print the likeliest next tokens and their logits, to compare engines."`
	Prompts  promptsCmd  `cmd:"" help:"Generate and check prompt files."`
	Quality  qualityCmd  `cmd:"" help:"Score answers, and measure how well the scores separate good answers from bad ones."`
	Case     caseCmd     `cmd:"" help:"List, show, write, check and explain test cases."`
	Report   reportCmd   `cmd:"" help:"Show, verify and compare certification reports."`
	Console  consoleCmd  `cmd:"" help:"Show runs and their trends in a browser, watch a run while it goes on, and start one."`
	Plan     planCmd     `cmd:"" help:"Find how many replicas hold given targets, by simulation."`
	Generate generateCmd `cmd:"" help:"Generate load for certifications that another machine coordinates."`
	Doctor   doctorCmd   `cmd:"" help:"Check what this machine can run, and what it lacks."`
	Version  versionCmd  `cmd:"" help:"Print the version."`
	Help     helpCmd     `cmd:"" help:"Show the help of a command; --help after a command does the same."`

	Completion   completionCmd   `cmd:"" help:"Print a script that completes command lines in a shell."`
	CompleteLine completeLineCmd `cmd:"" hidden:"" help:"Print what may follow on a command line; for shells."`

	RawOutput   bool        `help:"Print control characters unchanged. A terminal may obey them."`
	ShowVersion versionFlag `name:"version" help:"Print the version and exit."`
}

// app is what every command gets: its context (cancelled by SIGINT and SIGTERM) and its streams.
type app struct {
	ctx    context.Context
	stdout io.Writer
	stderr io.Writer
	getenv func(string) string

	environ  []string // NAME=VALUE, for warnings only; getenv reads a variable
	warned   bool     // the environment was checked
	warnings []string // about the environment, not yet said

	flags map[string]bool // those that the command line sets, without --
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(&app{ctx: ctx, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv,
		environ: os.Environ()}, os.Args[1:])
	stop()
	os.Exit(code)
}

// run parses args, runs the command and returns the exit code.
func run(a *app, args []string) (code int) {
	var grammar cli
	exited := -1
	defer a.shield()()
	parser, err := kong.New(&grammar,
		kong.Name("mixtral"),
		kong.Description("Serves Mixtral-8x7B behind an OpenAI-compatible API, and certifies it or any such server."),
		kong.Writers(a.stdout, a.stderr),
		kong.Exit(func(c int) { exited = c; panic(exitPanic{}) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		return report(a.stderr, err)
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // a file may be truncated while it is read
	defer func() {
		if r := recover(); r != nil {
			if err := gguf.Fault(r); err != nil {
				code = report(a.stderr, err)
				return
			}
			if _, ok := r.(exitPanic); !ok {
				panic(r)
			}
			code = exited
		}
	}()
	if len(args) == 0 {
		args = []string{"--help"}
	}
	a.checkEnvironment()
	defer a.warn() // at the latest: where parsing ends the program, or serve does not come to log them
	kctx, err := parser.Parse(a.renamed(args))
	if err != nil || kctx.Command() != "serve" {
		a.warn()
	}
	if err != nil {
		return report(a.stderr, usageError(explain(err)))
	}
	a.flags = map[string]bool{}
	for _, p := range kctx.Path {
		if p.Flag != nil {
			a.flags[p.Flag.Name] = true
		}
	}
	if err := checkRanges(kctx.Path); err != nil {
		return report(a.stderr, err)
	}
	if grammar.RawOutput {
		a.stdout, a.stderr = raw(a.stdout), raw(a.stderr)
	}
	return report(a.stderr, kctx.Run(a))
}

// oldFlags are earlier names of flags; now they have the names of the configuration's keys.
var oldFlags = map[string]string{"--tls-cert": "--tls-cert-file", "--tls-key": "--tls-key-file",
	"--database": "--database-url", "--judge": "--reviewer", "--judge-model": "--reviewer-model",
	"--judge-key-file": "--reviewer-key-file"}

// renamed replaces old names of flags with the present ones, and prints a note once for each.
func (a *app) renamed(args []string) []string {
	args = slices.Clone(args)
	said := map[string]bool{}
	for i, arg := range args {
		if arg == "--" {
			break
		}
		name, value, hasValue := strings.Cut(arg, "=")
		now := oldFlags[name]
		if now == "" {
			continue
		}
		if !said[name] {
			said[name] = true
			fmt.Fprintf(a.stderr, "mixtral: %s is now %s; the old name still works\n", name, now)
		}
		if args[i] = now; hasValue {
			args[i] += "=" + value
		}
	}
	return args
}

// exitPanic carries kong's request to exit (after --help) out of the parser.
type exitPanic struct{}

// report prints err and its hints and returns the exit code.
func report(w io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	code := exitFail
	var exit *exitError
	if errors.As(err, &exit) {
		code = exit.code
	} else if errors.Is(err, context.Canceled) {
		code = exitInterrupted
	}
	if msg := err.Error(); msg != "" {
		fmt.Fprintf(w, "mixtral: %s\n", msg)
	}
	var hint *hintError
	if errors.As(err, &hint) {
		fmt.Fprintf(w, "hint: %s\n", hint.hint)
	}
	return code
}
