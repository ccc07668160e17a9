package target

import (
	"os"
	"os/signal"
	"syscall"
)

// notify makes a child ignore signals that ask it to end.
func notify(c chan<- os.Signal) { signal.Notify(c, os.Interrupt, syscall.SIGTERM) }
