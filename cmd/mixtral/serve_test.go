package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// servedProcess is a child process that runs mixtral serve.
type servedProcess struct {
	t      *testing.T
	cmd    *exec.Cmd
	url    string
	line   string // its output when it was ready
	stderr *lockedBuffer
}

// lockedBuffer can be read while a process writes to it.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// startServe runs this test binary as the command mixtral; see TestMain.
func startServe(t *testing.T, args ...string) *servedProcess {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Args[0] = "mixtral"
	return startCommand(t, cmd, args...)
}

// startCommand is startServe for a command that runs mixtral.
func startCommand(t *testing.T, cmd *exec.Cmd, args ...string) *servedProcess {
	t.Helper()
	s := &servedProcess{t: t, cmd: cmd, stderr: &lockedBuffer{}}
	s.cmd.Args = append(append(s.cmd.Args, "serve", "--model", "synth:tiny", "--port", "0"), args...)
	s.cmd.Stderr = s.stderr
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.cmd.Process.Kill() })
	s.line, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		s.cmd.Wait()
		t.Fatalf("not ready: %v; %s", err, s.stderr)
	}
	_, rest, _ := strings.Cut(s.line, " on ")
	s.url, _, _ = strings.Cut(rest, " ")
	return s
}

// stop sends signals and returns the exit code.
func (s *servedProcess) stop(signals ...os.Signal) int {
	s.t.Helper()
	for i, sig := range signals {
		if i > 0 { // signals that come together may be one
			llmtest.Until(s.t, "the drain", func() bool { return strings.Contains(s.stderr.String(), "draining") })
		}
		if err := s.cmd.Process.Signal(sig); err != nil {
			s.t.Fatal(err)
		}
	}
	llmtest.Await(s.t, "mixtral serve to end", llmtest.Done(func() { s.cmd.Wait() }))
	return s.cmd.ProcessState.ExitCode()
}

func (s *servedProcess) post(path, body string) (int, string) {
	s.t.Helper()
	resp, err := http.Post(s.url+path, "application/json", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

// TestServe starts the real command, sends it requests and stops it.
func TestServe(t *testing.T) {
	s := startServe(t)
	if !strings.HasPrefix(s.line, "serving mixtral-synthetic") || !strings.Contains(s.line, "context of") {
		t.Errorf("said %q", s.line)
	}
	code, body := s.post("/v1/chat/completions", `{"messages":[{"role":"user","content":"hi"}],"max_tokens":5}`)
	var answer struct {
		Choices []struct{ Message struct{ Content string } }
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || code != 200 || len(answer.Choices) != 1 {
		t.Errorf("%d %s", code, body)
	}
	// A service manager's reload must not end a service without anything to reload.
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	llmtest.Until(t, "the reload", func() bool { return strings.Contains(s.stderr.String(), "nothing to reload") })
	if code := s.stop(syscall.SIGTERM); code != exitOK {
		t.Errorf("exit code %d; %s", code, s.stderr)
	}
	if log := s.stderr.String(); !strings.Contains(log, "model ready") || !strings.Contains(log, "draining") ||
		strings.Contains(log, "content") {
		t.Error(log)
	}
}

// TestServeSecondSignal: while requests are under way, the first signal waits for them and the second does not.
func TestServeSecondSignal(t *testing.T) {
	const requests = 60 // more work than the signals can take to come
	s := startServe(t)
	var group sync.WaitGroup
	begun := make(chan struct{}, requests)
	for range requests {
		group.Go(func() {
			resp, err := http.Post(s.url+"/v1/chat/completions", "application/json",
				strings.NewReader(`{"messages":[{"role":"user","content":"hi"}],"max_tokens":900,"n":8,"ignore_eos":true,"stream":true}`))
			if err != nil {
				begun <- struct{}{}
				return
			}
			defer resp.Body.Close()
			begun <- struct{}{}
			io.Copy(io.Discard, resp.Body) // cut off
		})
	}
	llmtest.Await(t, "the first answer's header", begun)
	if code := s.stop(syscall.SIGINT, syscall.SIGTERM); code != exitInterrupted {
		t.Errorf("exit code %d; %s", code, s.stderr)
	}
	llmtest.Await(t, "all clients", llmtest.Done(group.Wait))
}

func TestServePortInUse(t *testing.T) {
	s := startServe(t, "--log-level", "off")
	port := s.url[strings.LastIndexByte(s.url, ':')+1:]
	var stdout, stderr bytes.Buffer
	code := run(&app{ctx: t.Context(), stdout: &stdout, stderr: &stderr, getenv: os.Getenv},
		[]string{"serve", "--model", "synth:tiny", "--port", port})
	if code != exitSetup || !strings.Contains(stderr.String(), "in use") ||
		!strings.Contains(stderr.String(), "hint: another program listens there") {
		t.Errorf("exit code %d: %s", code, &stderr)
	}
	stderr.Reset()
	if code := run(&app{ctx: t.Context(), stdout: &stdout, stderr: &stderr, getenv: os.Getenv},
		[]string{"doctor", "--port", port}); code != exitSetup || !strings.Contains(stdout.String(), "in use") {
		t.Errorf("doctor: exit code %d: %s", code, &stdout)
	}
	if code := s.stop(syscall.SIGTERM); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

// TestServeKeys: a key file protects the service at any address.
func TestServeKeys(t *testing.T) {
	keys := t.TempDir() + "/keys"
	if err := os.WriteFile(keys, []byte("test test-key-0123456789\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startServe(t, "--host", "0.0.0.0", "--api-key-file", keys)
	s.url = strings.Replace(s.url, "[::]", "127.0.0.1", 1)
	s.url = strings.Replace(s.url, "0.0.0.0", "127.0.0.1", 1)
	if code, body := s.post("/v1/chat/completions", `{}`); code != 401 {
		t.Errorf("%d %s", code, body)
	}
	r, err := http.NewRequestWithContext(t.Context(), "GET", s.url+"/v1/models", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer test-key-0123456789")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Error(resp.Status)
	}
	if err := os.WriteFile(keys, []byte("other other-key-0123456789\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	llmtest.Until(t, "the new keys", func() bool { return strings.Contains(s.stderr.String(), "keys reloaded") })
	if resp, err = http.DefaultClient.Do(r); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 401 {
		t.Errorf("old key: %s", resp.Status)
	}
	if code := s.stop(syscall.SIGTERM); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

func TestBinarySize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 KiB", 2048: "2 KiB", 5 << 20: "5.0 MiB", 3 << 29: "1.5 GiB"} {
		if got := binarySize(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
