package probe

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/procfs"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// fakeProc writes the /proc of a machine with two cores, the certifier (process 10), its server (20) and the server's
// child (21), and another process.
func fakeProc(t *testing.T, root string, busy, cpu, ran, waited, turns int) procfs.FS {
	t.Helper()
	stat := func(pid, parent, ticks int) string {
		return fmt.Sprintf("%d (x) S %d 0 0 0 0 0 0 0 0 0 %d 0 0 0 20 0 1 0 1 0 0%s", pid, parent, ticks,
			strings.Repeat(" 0", 28))
	}
	files := map[string]string{
		"stat": fmt.Sprintf("cpu %d 10 20 1000 5 3 4 7 0 0\ncpu0 1 0 0 0 0 0 0 0 0 0\ncpu1 1 0 0 0 0 0 0 0 "+
			"0 0\n", busy),
		"pressure/cpu": "some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=0.00 avg60=0.00 " +
			"avg300=0.00 total=0\n",
	}
	for pid, parent := range map[int]int{10: 1, 20: 1, 21: 20, 30: 1} {
		files[fmt.Sprintf("%d/stat", pid)] = stat(pid, parent, cpu)
		files[fmt.Sprintf("%d/task/%d/schedstat", pid, pid)] = fmt.Sprintf("%d %d %d", ran, waited, turns)
	}
	put(t, root, files)
	fs, err := procfs.NewFS(root)
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

func TestTheUseOfTheMachine(t *testing.T) {
	root := t.TempDir()
	about := cmpopts.EquateApprox(0, 1e-9)
	h := newHost(fakeProc(t, root, 300, 50, 1_000_000, 1_000_000, 4))
	clock := time.Unix(0, 0)
	h.now = func() time.Time { clock = clock.Add(10 * time.Millisecond); return clock }
	h.roots = func() []int { return []int{10, 20, 10} }
	first, err := h.Read()
	if err != nil {
		t.Fatal(err)
	}
	want := &evidence.Host{Cores: 2, Busy: 3.3, Idle: 10.05, Steal: 0.07, Own: 1.5, Waited: 0.003, Turns: 12,
		Pressure: 2.5, Server: evidence.HostServerCounted}
	if diff := cmp.Diff(want, first, about); diff != "" {
		t.Error(diff)
	}
	fakeProc(t, root, 500, 80, 3_500_000, 4_000_000, 10) // computed for 2.5 of 10 ms
	if err := os.RemoveAll(root + "/21"); err != nil {
		t.Fatal(err)
	}
	second, err := h.Read()
	if err != nil {
		t.Fatal(err)
	}
	// The child that has ended still counts, and so do the waits of its thread.
	want = &evidence.Host{Cores: 2, Busy: 5.3, Idle: 10.05, Steal: 0.07, Own: 2.1, Waited: 0.009, Held: 0.006,
		Turns: 24, Pressure: 2.5, Server: evidence.HostServerCounted}
	if diff := cmp.Diff(want, second, about); diff != "" {
		t.Error(diff)
	}
	fakeProc(t, root, 500, 80, 0, 500_000, 2) // other threads of the same numbers
	if third, err := h.Read(); err != nil || third.Waited < second.Waited || third.Held != second.Held ||
		third.Turns != second.Turns+6 {
		t.Errorf("%+v, %v", third, err)
	}
	if _, err := newHost(procfs.FS{}).Read(); err == nil {
		t.Error("a machine without counters")
	}
}

func TestWhereTheServerIs(t *testing.T) {
	linux(t)
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	if pid, name, ok := ListensAt(t.Context(), s.URL); !ok || pid != os.Getpid() || name == "" {
		t.Errorf("the listener is %d %q, %v; want this process", pid, name, ok)
	}
	remote := Remote(NewScraper("", "", "", ""))
	for target, want := range map[string]evidence.HostServer{s.URL: evidence.HostServerCounted,
		"http://192.0.2.1:8000": evidence.HostServerRemote, "https://no.such.host.invalid": evidence.HostServerRemote,
		"http://127.0.0.1:" + llmtest.Port(t): evidence.HostServerUnknown} {
		h, err := NewHost(t.Context(), remote, target)
		if err != nil {
			t.Fatal(err)
		}
		if h.server != want {
			t.Errorf("%s is %s, want %s", target, h.server, want)
		}
	}
	self, err := Self()
	if err != nil {
		t.Fatal(err)
	}
	h, err := NewHost(t.Context(), self, s.URL)
	if err != nil {
		t.Fatal(err)
	}
	before, err := h.Read()
	if err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); time.Since(begin) < 50*time.Millisecond; {
	}
	after, err := h.Read()
	if err != nil || after.Own < before.Own || after.Busy <= before.Busy || after.Cores < 1 {
		t.Errorf("%+v then %+v, %v", before, after, err)
	}
}

func TestPortsOfTargets(t *testing.T) {
	for target, want := range map[string]int{"http://127.0.0.1": 80, "https://127.0.0.1/v1": 443,
		"http://127.0.0.1:11400": 11400, "http://[::1]:9": 9} {
		if port, here := localPort(t.Context(), target); port != want || !here {
			t.Errorf("%s: %d, %v", target, port, here)
		}
	}
	if _, here := localPort(t.Context(), "http://%zz"); here {
		t.Error("no URL")
	}
}
