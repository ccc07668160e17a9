package main

import "slices"

// helpCmd shows the help of the program or of one command, as --help after it does.
type helpCmd struct {
	Command []string `arg:"" optional:"" help:"The command, as in mixtral help model pull; none lists all."`
}

func (c helpCmd) Run(a *app) error {
	code := run(a, append(slices.Clone(c.Command), "--help"))
	if code == exitOK {
		return nil
	}
	return exitWith(code)
}
