package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/procfs"

	"github.com/hxp-enterprise/mixtral/internal/base/hostile"
	"github.com/hxp-enterprise/mixtral/internal/base/need"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// small are requests that keep the model and the writing of answers busy.
var small = []string{
	`{"messages":[{"role":"user","content":"hi"}],"max_tokens":300,"ignore_eos":true,"stream":true}`,
	`{"messages":[{"role":"user","content":"hi"}],"max_tokens":300,"ignore_eos":true,"n":4,"logprobs":true,"top_logprobs":5}`,
}

// large adds bodies of the maximum size, some of which are not JSON.
func large() []string {
	text := strings.Repeat("word ", (4<<20)/5-100)
	return append([]string{text, `{"messages":[{"role":"user","content":"` + text + `"}]}`}, small...)
}

// load runs clients of a service until a time has passed and one of them was answered, beside connections that send
// nothing. It returns the number of answers.
func (s *servedProcess) load(lasts time.Duration, bodies []string) (answers int) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	var mu sync.Mutex
	var group sync.WaitGroup
	for i := range 24 {
		group.Go(func() {
			for ctx.Err() == nil {
				r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/v1/chat/completions",
					strings.NewReader(bodies[i%len(bodies)]))
				if err != nil {
					s.t.Error(err)
					return
				}
				if resp, err := client.Do(r); err == nil {
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					mu.Lock()
					if resp.StatusCode == http.StatusOK {
						answers++
					}
					mu.Unlock()
				}
			}
		})
	}
	for range 100 {
		if conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://")); err == nil {
			defer conn.Close()
		}
	}
	time.Sleep(lasts)
	llmtest.Until(s.t, "an answer", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return answers > 0
	})
	cancel()
	group.Wait()
	return answers
}

// cpu returns the processor time of the process in seconds.
func (s *servedProcess) cpu() float64 {
	s.t.Helper()
	p, err := procfs.NewProc(s.cmd.Process.Pid)
	if err != nil {
		s.t.Fatal(err)
	}
	st, err := p.Stat()
	if err != nil {
		s.t.Fatal(err)
	}
	return st.CPUTime()
}

// peak returns the peak memory of the process.
func (s *servedProcess) peak() int64 {
	s.t.Helper()
	p, err := procfs.NewProc(s.cmd.Process.Pid)
	if err != nil {
		s.t.Fatal(err)
	}
	st, err := p.NewStatus()
	if err != nil {
		s.t.Fatal(err)
	}
	return int64(st.VmHWM)
}

// measure puts the service under load for a while and returns the mean number of cores in use.
func (s *servedProcess) measure(bodies []string) (cores float64, answers int) {
	s.t.Helper()
	before, began := s.cpu(), time.Now()
	answers = s.load(loadTime(), bodies)
	return (s.cpu() - before) / time.Since(began).Seconds(), answers
}

// loadTime is so long that the ticks of processor accounting (10 ms) and the allowed burst do not matter for the mean.
func loadTime() time.Duration {
	if testing.Short() {
		return time.Second
	}
	return 2 * time.Second
}

// TestLimitsAreKept: under a load that uses everything that takes memory or processor time, the whole process keeps to
// memory_limit_gb and cpu_cores.
func TestLimitsAreKept(t *testing.T) {
	const gb = 0.5
	s := startServe(t, "--memory-limit-gb", fmt.Sprint(gb), "--cpu-cores", "1", "--log-level", "off")
	for _, bodies := range [][]string{small, large()} {
		cores, n := s.measure(bodies)
		t.Logf("%.3f cores, %d MB, %d answers", cores, s.peak()>>20, n)
		if cores > 1.03 { // the burst, and ticks
			t.Errorf("%.3f cores in use, 1 is allowed", cores)
		}
	}
	peak := s.peak()
	if limit := int64(gb * (1 << 30)); peak > limit {
		t.Errorf("%d bytes in use, %d are allowed", peak, limit)
	}
	if code := s.stop(syscall.SIGTERM); code != exitOK {
		t.Errorf("exit code %d; %s", code, s.stderr)
	}
}

// controlGroup makes a control group with limits of memory in bytes and of cores. It returns a shell command that runs
// "$0" "$@" in the group. The period, in microseconds, is the time in which the kernel counts what the group has used.
func controlGroup(t *testing.T, name string, memory int64, cores float64, period int) string {
	t.Helper()
	const root = "/sys/fs/cgroup"
	var procs []string
	make := func(dir string, files map[string]string) {
		t.Helper()
		dir = filepath.Join(dir, fmt.Sprintf("mixtral-test-%d-%s", os.Getpid(), name))
		if err := os.Mkdir(dir, 0o755); err != nil {
			need.Missing(t, "no control group can be made here: %v", err)
		}
		t.Cleanup(func() { // it is empty only when its processes have ended
			for range 100 {
				if os.Remove(dir) == nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
		for name, value := range files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0); err != nil {
				need.Missing(t, "no limits can be set here: %v", err)
			}
		}
		procs = append(procs, filepath.Join(dir, "cgroup.procs"))
	}
	quota := strconv.Itoa(int(cores * float64(period)))
	if _, err := os.Stat(root + "/cgroup.controllers"); err == nil {
		make(root, map[string]string{"memory.max": strconv.FormatInt(memory, 10), "cpu.max": quota + " " +
			strconv.Itoa(period)})
		return within(procs)
	}
	make(root+"/memory"+ownGroup(t, "memory"), map[string]string{"memory.limit_in_bytes": strconv.FormatInt(memory,
		10)})
	make(root+"/cpu"+ownGroup(t, "cpu"), map[string]string{"cpu.cfs_period_us": strconv.Itoa(period),
		"cpu.cfs_quota_us": quota})
	return within(procs)
}

// within returns a shell command that enters the groups of the given files and runs "$0" "$@" there.
func within(procs []string) string {
	return `for f in ` + strings.Join(procs, " ") + `; do echo $$ > $f || exit 9; done; exec "$0" "$@"`
}

// ownGroup returns the test's own group of a version 1 controller, so that the new one is below it.
func ownGroup(t *testing.T, controller string) string {
	t.Helper()
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		need.Missing(t, "control groups: %v", err)
	}
	for line := range strings.Lines(string(data)) {
		if parts := strings.SplitN(strings.TrimSpace(line), ":", 3); len(parts) == 3 &&
			slices.Contains(strings.Split(parts[1], ","), controller) {
			return parts[2]
		}
	}
	return ""
}

// TestLimitsOfAControlGroup: in a control group with less than the configuration allows, the service plans with that,
// says so, lives, and leaves so much that it is not stopped in the middle of everything.
func TestLimitsOfAControlGroup(t *testing.T) {
	const memory, cores = 512 << 20, 0.5
	script := controlGroup(t, "limits", memory, cores, 100000)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "mixtral") // the name makes the test binary the command
	if err := os.Symlink(self, link); err != nil {
		t.Fatal(err)
	}
	s := startCommand(t, exec.CommandContext(t.Context(), "/bin/sh", "-c", script, link))
	used, answers := s.measure(small)
	t.Logf("%.3f cores, %d answers", used, answers)
	if used > cores*1.03 {
		t.Errorf("%.3f cores of %v, %d answers", used, cores, answers)
	}
	s.measure(large()) // the service survives this
	if code := s.stop(syscall.SIGTERM); code != exitOK {
		t.Errorf("exit code %d; %s", code, s.stderr)
	}
	if log := s.stderr.String(); !strings.Contains(log, `bound_by="cgroup v`) ||
		!strings.Contains(log, fmt.Sprint("memory_limit_bytes=", memory)) || !strings.Contains(log, "allows 0.5") {
		t.Errorf("the group was not seen: %s", log)
	}
	hostile.Survived(t, "a control group of 512 MiB and half a core, under load", 1, 1,
		"%.3f cores, %d answers, an orderly end", used, answers)
}

// TestMemoryThatCannotFit: the error shows the arithmetic, which is correct, and suggests what would fit.
func TestMemoryThatCannotFit(t *testing.T) {
	var stdout, stderr bytes.Buffer
	code := run(&app{ctx: t.Context(), stdout: &stdout, stderr: &stderr, getenv: os.Getenv},
		[]string{"serve", "--model", "synth:nano", "--port", "0", "--memory-limit-gb", "0.4"})
	m := regexp.MustCompile(`memory limit too low: (\S+) GiB of weights \+ (\S+) GiB of KV cache for one context of \d+ tokens \+ (\S+) GiB for everything else = (\S+) GiB, but memory_limit_gb allows (\S+) GiB`).FindStringSubmatch(stderr.String())
	if code != exitSetup || m == nil {
		t.Fatalf("exit code %d: %s", code, &stderr)
	}
	var n [5]float64
	for i := range n {
		var err error
		if n[i], err = strconv.ParseFloat(m[i+1], 64); err != nil {
			t.Fatal(err)
		}
	}
	if off := n[0] + n[1] + n[2] - n[3]; math.Abs(off) > 0.02 || n[3] <= n[4] || n[4] != 0.4 {
		t.Errorf("does not add up: %s", m[0])
	}
	if !strings.Contains(stderr.String(), "hint: ") {
		t.Errorf("%s", &stderr)
	}
}
