//go:build unix

package console

import (
	"os"
	"os/exec"
	"syscall"
)

// isolate gives a run its own process group: Ctrl-C reaches only the console, which then stops the run properly.
func isolate(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }
