package target

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/client"
)

const (
	// loadTimeout is how long a child may take to be ready. Reading 100 GB of weights from a slow disk takes minutes.
	loadTimeout = 15 * time.Minute

	// drainTimeout is how long a child may take to end after SIGTERM.
	drainTimeout = 10 * time.Second

	// keptLog is how many bytes of a child's output are kept, for the error if it fails.
	keptLog = 8 << 10
)

// Child launches a program as a separate process. So the server's memory and CPU do not include the load generator's,
// and a crash of the server does not end the certifier. args returns the program's arguments for a port and a need.
// The child is in its own process group: Ctrl-C reaches only the certifier, which then stops the child. On Linux, the
// child is killed if the certifier dies.
func Child(program string, args func(port int, need Need) []string) Launcher {
	return func(ctx context.Context, need Need) (*Server, error) {
		var failed error
		for range 3 { // another program may take the free port before the child does
			port, err := freePort()
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrSetup, err)
			}
			s, err := start(ctx, program, port, args(port, need))
			if err == nil {
				return s, nil
			}
			if failed = err; ctx.Err() != nil || !strings.Contains(err.Error(), "address already in use") {
				break
			}
		}
		return nil, failed
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// process is a started child.
type process struct {
	cmd  *exec.Cmd
	log  tail
	gone chan struct{}
	err  error // the result of Wait, once gone is closed
}

func start(ctx context.Context, program string, port int, args []string) (*Server, error) {
	p := &process{cmd: exec.Command(program, args...), gone: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	p.cmd.WaitDelay = time.Second // a grandchild may keep the output open
	isolate(p.cmd)
	started := make(chan error)
	go p.hold(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("%w: start %s: %w", ErrSetup, program, err)
	}
	s := &Server{URL: "http://127.0.0.1:" + strconv.Itoa(port), PID: p.cmd.Process.Pid, Gone: p.gone, stop: p.stop}
	ready, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	c := client.New(s.URL, "")
	defer c.Close()
	if err := c.Ready(ready, p.gone); err != nil {
		_ = s.Stop()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if out := p.log.String(); out != "" {
			err = fmt.Errorf("%w; it said:\n%s", err, out)
		}
		return nil, err
	}
	return s, nil
}

// hold starts the child and waits for its end on one thread, because on Linux the child is killed when the thread that
// started it ends.
func (p *process) hold(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.gone)
	err := p.cmd.Start()
	started <- err
	if err == nil {
		p.err = p.cmd.Wait()
	}
}

// stop asks the child to end, and kills it if it does not.
func (p *process) stop() error {
	_ = terminate(p.cmd.Process) // an error means that it has already ended
	select {
	case <-p.gone:
	case <-time.After(drainTimeout):
		_ = p.cmd.Process.Kill()
		<-p.gone
		return fmt.Errorf("the server did not end within %s of SIGTERM and was killed", drainTimeout)
	}
	var exit *exec.ExitError
	if p.err != nil && !errors.As(p.err, &exit) && !errors.Is(p.err, os.ErrProcessDone) {
		return p.err
	}
	return nil
}

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if extra := len(t.buf) - keptLog; extra > 0 {
		t.buf = append(t.buf[:0], t.buf[extra:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.buf))
}
