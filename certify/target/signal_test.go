package target

import (
	"os"
	"os/signal"
	"syscall"
)

// notify makes a child ignore the request to end.
func notify(c chan<- os.Signal) { signal.Notify(c, os.Interrupt, syscall.SIGTERM) }
