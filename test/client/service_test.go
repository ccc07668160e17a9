// Package client drives a running service with OpenAI's official Go client: what that client cannot read is not
// compatible. The service is `mixtral serve` with a tiny synthetic model, or the one at MIXTRAL_TEST_URL.
package client

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
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
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	port := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	baseURL = fmt.Sprintf("http://127.0.0.1:%d", port)
	cmd := exec.CommandContext(ctx, binary, "serve", "--model", "synth:tiny", "--port", fmt.Sprint(port))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
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
