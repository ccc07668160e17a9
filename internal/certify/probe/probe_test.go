package probe

import (
	"context"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hxp-enterprise/mixtral/internal/base/leak"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

func TestMain(m *testing.M) {
	Patience, replicaTimeout, podsTimeout = time.Minute, time.Minute, time.Minute
	leak.Main(m)
}

func linux(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("/proc is Linux's")
	}
}

func TestSelfSeesItsOwnMemoryAndWork(t *testing.T) {
	linux(t)
	s, err := Self()
	if err != nil {
		t.Fatal(err)
	}
	// Memory of earlier tests must be returned to the system before the first reading, and not between the two.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	debug.FreeOSMemory()
	before, err := s.Sample(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ballast := make([]byte, 64<<20)
	for i := range ballast {
		ballast[i] = byte(i)
	}
	after := before
	// The system counts CPU time in ticks of 10 ms, and a busy machine may give this process none for a while.
	for until := time.Now().Add(time.Minute); after.CPUSeconds <= before.CPUSeconds && time.Now().Before(until); {
		ballast[0] += byte(math.Sqrt(float64(ballast[1])))
		if after, err = s.Sample(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	runtime.KeepAlive(ballast)
	if after.RSS-before.RSS < 48<<20 || after.Anon-before.Anon < 48<<20 {
		t.Errorf("64 MB written, memory grew from %+v to %+v", before, after)
	}
	if after.CPUSeconds <= before.CPUSeconds {
		t.Errorf("work was done, CPU went from %g to %g s", before.CPUSeconds, after.CPUSeconds)
	}
	if after.Threads == 0 || after.FDs == 0 || s.Name() != "self" {
		t.Errorf("%s: %+v", s.Name(), after)
	}
}

// TestOneSourceManyReaders: a run samples periodically, and also when it describes the server. The race detector
// checks that this is safe.
func TestOneSourceManyReaders(t *testing.T) {
	linux(t)
	s, err := Self()
	if err != nil {
		t.Fatal(err)
	}
	var group errgroup.Group
	for range 4 {
		group.Go(func() error {
			for range 50 {
				if _, err := s.Sample(t.Context()); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

func TestAProcessAndItsChildren(t *testing.T) {
	linux(t)
	cmd := exec.Command("sh", "-c", "sleep 300 & wait")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s, err := PID(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	p := s.(*processSource)
	for deadline := time.Now().Add(time.Minute); len(families(p.fs, p.pid)) < 2; {
		if time.Now().After(deadline) {
			t.Fatal("the shell's child was not found")
		}
		time.Sleep(time.Millisecond)
	}
	p.family = families(p.fs, p.pid)
	if sample, err := s.Sample(t.Context()); err != nil || sample.Threads < 2 {
		t.Errorf("%+v, %v: want the threads of two processes", sample, err)
	}
	for _, pid := range families(p.fs, p.pid) {
		if proc, err := os.FindProcess(pid); err == nil {
			_ = proc.Kill()
		}
	}
	_ = cmd.Wait()
	if _, err := s.Sample(t.Context()); err == nil {
		t.Error("a process that has ended still gives samples")
	}
	if _, err := PID(1 << 30); err == nil {
		t.Error("a process that never was")
	}
}

func TestTheMachineIsDescribed(t *testing.T) {
	m := Machine()
	for _, key := range []string{"os", "arch", "go", "cores"} {
		if m[key] == "" {
			t.Errorf("no %s: %v", key, m)
		}
	}
	if gb, ok := Memory(); runtime.GOOS == "linux" && (!ok || gb <= 0 || m["memory_gb"] == "" || m["kernel"] == "") {
		t.Errorf("memory %g, %v, machine %v", gb, ok, m)
	}
	if got := cpuName("processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\nmodel name\t: other\n"); got != "Some CPU @ "+
		"3 GHz" {
		t.Errorf("cpu %q", got)
	}
	if got := cpuName("Features : fp asimd\n"); got != "" {
		t.Errorf("cpu %q", got)
	}
}

func put(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCgroups(t *testing.T) {
	root := t.TempDir()
	put(t, root, map[string]string{
		"v2/memory.current": "1000\n",
		"v2/memory.stat":    "anon 600\nfile 300\nfile_mapped 50\nshmem 20\ninactive_file 250\n",
		"v2/cpu.stat":       "usage_usec 1500000\nuser_usec 1\n", "v2/pids.current": "7\n",
		"memory/v1/memory.usage_in_bytes": "2000\n",
		"memory/v1/memory.stat": "rss 1\ntotal_rss 900\ntotal_mapped_file 80\ntotal_shmem " +
			"30\ntotal_inactive_file 400\n", "cpuacct/v1/cpuacct.usage": "2500000000\n",
		"bad/memory.current": "many\n", "bad/memory.stat": "",
	})
	for path, want := range map[string]evidence.Sample{
		"v2":                                {RSS: 750, Anon: 600, File: 50, Shared: 20, CPUSeconds: 1.5, Threads: 7},
		root + "/v2":                        {RSS: 750, Anon: 600, File: 50, Shared: 20, CPUSeconds: 1.5, Threads: 7},
		"v1":                                {RSS: 1600, Anon: 900, File: 80, Shared: 30, CPUSeconds: 2.5},
		filepath.Join(root, "memory", "v1"): {RSS: 1600, Anon: 900, File: 80, Shared: 30, CPUSeconds: 2.5},
	} {
		s, err := newCgroup(root, path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if got, err := s.Sample(t.Context()); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", path, got, err, want)
		}
	}
	if _, err := newCgroup(root, "none"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("missing group: %v", err)
	}
	if _, err := newCgroup(root, "bad"); err == nil || !strings.Contains(err.Error(), "many") {
		t.Errorf("broken file: %v", err)
	}
	if _, err := newCgroup(root, "../../etc"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a path that climbs out: %v", err)
	}
}

// flaky fails every call until the test repairs it.
type flaky struct {
	calls  atomic.Int64
	mended atomic.Bool
}

func (f *flaky) Name() string { return "flaky" }
func (f *flaky) Sample(context.Context) (evidence.Sample, error) {
	f.calls.Add(1)
	if f.mended.Load() {
		return evidence.Sample{RSS: 5}, nil
	}
	return evidence.Sample{}, errors.New("broken")
}

func TestWatchRecordsFailuresSparselyAndGoesOn(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f, got, began := &flaky{}, make(chan evidence.Sample, 100), time.Now()
	done := make(chan struct{})
	go func() {
		defer close(done)
		Watch(ctx, f, func() int { return 3 }, func(s evidence.Sample) { got <- s })
	}()
	for f.calls.Load() < 4 {
		time.Sleep(time.Millisecond)
	}
	f.mended.Store(true)
	var bad []evidence.Sample
	good := <-got
	for ; good.Err != ""; good = <-got {
		bad = append(bad, good)
	}
	took := time.Since(began)
	cancel()
	<-done
	if len(bad) == 0 || bad[0].Err != "broken" || bad[0].Source != "flaky" || len(bad) > 1+int(took/time.Second) {
		t.Errorf("within %v: %+v: failures within a second must not repeat", took, bad)
	}
	if good.RSS != 5 || good.Load != 3 {
		t.Errorf("the first good sample is %+v", good)
	}
}
