//go:build linux || darwin

package main

import (
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// keyByKey makes a terminal deliver each key when it is pressed, without showing it. Unlike in raw mode, Ctrl-C and
// Ctrl-Z still are signals, so that they work while an answer streams, and a newline still moves to the first column.
// The function that it returns restores the terminal.
func keyByKey(f *os.File) (restore func(), err error) {
	fd := int(f.Fd())
	was, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return nil, err
	}
	is := *was
	is.Lflag &^= unix.ICANON | unix.ECHO | unix.IEXTEN
	is.Iflag &^= unix.IXON | unix.ICRNL
	is.Cc[unix.VMIN], is.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(fd, setTermios, &is); err != nil {
		return nil, err
	}
	back, ended := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(back, syscall.SIGCONT) // after Ctrl-Z the shell has reset the terminal
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			select {
			case <-back:
				_ = unix.IoctlSetTermios(fd, setTermios, &is)
			case <-ended:
				return
			}
		}
	})
	return func() {
		signal.Stop(back)
		close(ended)
		watching.Wait()
		_ = unix.IoctlSetTermios(fd, setTermios, was)
	}, nil
}
