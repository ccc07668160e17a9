package main

import "slices"

// helpCmd shows the help of the program or of one command, like --help after the command.
type helpCmd struct {
	Command []string `arg:"" optional:"" help:"A command, such as model pull; default: list all commands."`
}

func (c helpCmd) Run(a *app) error {
	code := run(a, append(slices.Clone(c.Command), "--help"))
	if code == exitOK {
		return nil
	}
	return exitWith(code)
}
