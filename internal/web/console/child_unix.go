//go:build unix

package console

import (
	"os"
	"os/exec"
	"syscall"
)

// isolate puts a run into a process group of its own: Ctrl-C reaches the console alone, which stops the run in order.
func isolate(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }
