package console

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/hxp-enterprise/mixtral/certify/report"
)

// ErrBusy is matched when a run is under way already.
var ErrBusy = errors.New("a run is already in progress; only one is allowed")

const (
	shownOutput = 32 << 10 // bytes of a run's output that are shown: the last ones
	mostOutput  = 8 << 20  // bytes of a run's output that are kept on the disk
	stopWithin  = 2 * time.Minute
)

// Starter starts runs as processes of a program, one at a time. Its fields must not be changed after the first use.
type Starter struct {
	Program string   // the program to run: this one
	Env     []string // its environment
	KeyEnvs []string // environment variables that may hold a target's API key

	mu    sync.Mutex
	child *child
}

// child is a run that was started.
type child struct {
	cmd     *exec.Cmd
	args    []string
	out     *os.File // its output: a file without a name, so that the run can continue if this process is killed
	started time.Time
	done    chan struct{}
	ended   time.Time // to be read after done is closed
	code    int
	stops   int
}

// ChildState describes the run that was started last.
type ChildState struct {
	Any      bool // one was started
	Running  bool
	Stopping bool
	Command  string
	Started  time.Time
	Took     time.Duration
	Code     int    // its exit code
	Says     string // what the exit code means
	Output   string // its last lines
}

// Run starts the program with arguments. The error matches ErrBusy if a run is under way.
func (s *Starter) Run(args []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.child != nil && s.child.running() {
		return ErrBusy
	}
	out, err := os.CreateTemp("", "mixtral-console-*.log")
	if err != nil {
		return fmt.Errorf("start a run: %w", err)
	}
	_ = os.Remove(out.Name()) // where an open file cannot be removed, it stays
	c := &child{cmd: exec.Command(s.Program, args...), args: args, out: out, started: time.Now(),
		done: make(chan struct{})}
	c.cmd.Env, c.cmd.Stdout, c.cmd.Stderr = s.Env, out, out
	isolate(c.cmd)
	if err := c.cmd.Start(); err != nil {
		return errors.Join(fmt.Errorf("start a run: %w", err), out.Close())
	}
	if s.child != nil {
		_ = s.child.out.Close() // no longer needed
	}
	s.child = c
	go c.wait()
	return nil
}

// wait waits for the end of a run, and meanwhile keeps its output within bounds.
func (c *child) wait() {
	bounded := make(chan struct{})
	go func() {
		defer close(bounded)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-c.done:
				return
			case <-tick.C:
				if info, err := c.out.Stat(); err == nil && info.Size() > mostOutput {
					_ = c.out.Truncate(0)
					_, _ = c.out.Seek(0, 0) // the run uses the same file position
				}
			}
		}
	}()
	err := c.cmd.Wait()
	c.ended, c.code = time.Now(), c.cmd.ProcessState.ExitCode()
	if err != nil && c.code == 0 {
		c.code = -1
	}
	close(c.done)
	<-bounded
}

func (c *child) running() bool {
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

// Stop asks the run to end: it judges what it has measured and leaves a report. A second Stop ends it at once.
func (s *Starter) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.child != nil && s.child.running() {
		s.child.stops++
		_ = terminate(s.child.cmd.Process) // it may have ended by itself
	}
}

// Close stops the run, waits for its report and closes its output.
func (s *Starter) Close() error {
	s.Stop()
	s.mu.Lock()
	c := s.child
	s.mu.Unlock()
	if c == nil {
		return nil
	}
	select {
	case <-c.done:
	case <-time.After(stopWithin):
		_ = c.cmd.Process.Kill()
		<-c.done
	}
	return c.out.Close()
}

// meanings of the exit codes of mixtral certify.
var meanings = map[int]string{0: string(report.Pass), 1: string(report.Fail), 2: "the command could not be used",
	3: "the server could not be started or reached", 4: string(report.Invalid) + ": it could not be judged",
	130: "interrupted", -1: "it was killed"}

// State returns the state of the run that was started last.
func (s *Starter) State() ChildState {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.child
	if c == nil {
		return ChildState{}
	}
	st := ChildState{Any: true, Running: c.running(), Stopping: c.stops > 0, Command: CommandLine(c.args),
		Started: c.started, Took: time.Since(c.started).Round(time.Second), Output: c.tail()}
	if !st.Running {
		st.Took, st.Code = c.ended.Sub(c.started).Round(time.Second), c.code
		st.Says = meanings[c.code]
	}
	return st
}

// tail returns the end of the run's output.
func (c *child) tail() string {
	info, err := c.out.Stat()
	if err != nil {
		return ""
	}
	from := max(info.Size()-shownOutput, 0)
	data := make([]byte, info.Size()-from)
	n, _ := c.out.ReadAt(data, from)
	data = data[:n]
	for from > 0 && len(data) > 0 && !utf8.RuneStart(data[0]) {
		data = data[1:]
	}
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || !unicode.IsControl(r) {
			return r
		}
		return -1
	}, strings.ToValidUTF8(string(data), "\uFFFD"))
}
