//go:build !unix

package console

import (
	"os"
	"os/exec"
)

func isolate(*exec.Cmd) {}

func terminate(p *os.Process) error { return p.Signal(os.Interrupt) }
