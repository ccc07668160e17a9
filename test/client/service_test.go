// Package client drives a running service with OpenAI's official Go client: what that client cannot read is not
// compatible. The service is `mixtral serve` with a tiny synthetic model, or the one at MIXTRAL_TEST_URL.
package client

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

var (
	baseURL string
	client  openai.Client
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	baseURL = os.Getenv("MIXTRAL_TEST_URL")
	if baseURL == "" {
		stop, err := serve(ctx)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer stop()
	}
	// No retries: a 429 is to be seen, not waited out.
	client = openai.NewClient(option.WithBaseURL(baseURL+"/v1"), option.WithAPIKey("none"), option.WithMaxRetries(0))
	return m.Run()
}

// serve builds and starts the service on a free port and waits until it is ready. stop must end it cleanly.
func serve(ctx context.Context) (stop func(), err error) {
	dir, err := os.MkdirTemp("", "mixtral")
	if err != nil {
		return nil, err
	}
	binary := filepath.Join(dir, "mixtral")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/mixtral")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build: %w\n%s", err, out)
	}
	cmd := exec.CommandContext(ctx, binary, "serve", "--model", "synth:tiny", "--port", "0")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n') // "serving … on http://127.0.0.1:PORT …"
	if err != nil {
		return nil, fmt.Errorf("mixtral serve does not say where it listens: %w", err)
	}
	_, rest, _ := strings.Cut(line, " on ")
	baseURL, _, _ = strings.Cut(rest, " ")
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	stop = func() {
		cmd.Process.Signal(os.Interrupt)
		<-exited
		os.RemoveAll(dir)
	}
	for {
		select {
		case err := <-exited:
			return nil, fmt.Errorf("mixtral serve ended before it was ready: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
		response, err := http.Get(baseURL + "/readyz")
		if err != nil {
			continue
		}
		response.Body.Close()
		if response.StatusCode == http.StatusOK {
			return stop, nil
		}
	}
}
