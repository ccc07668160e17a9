package probe

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// HostInterval is how often the use of the machine is read: ticks of 10 ms are a hundredth of it.
const HostInterval = errorEvery

// Host reads who uses this machine: its processors' counters, and the share of them that belongs to the certifier and
// the server. Not safe for concurrent use.
type Host struct {
	fs     procfs.FS
	server evidence.HostServer
	roots  func() []int // of the processes that are not others
	cpu    map[int]float64
	queues map[int]procfs.ProcSchedstat // by thread
	waited uint64                       // ns
	held   uint64                       // ns, of threads that compute
	turns  uint64
	now    func() time.Time
	read   time.Time
}

// NewHost watches the machine for a run against the server at target, whose resources come from source. A server whose
// processes source does not name, and that answers at an address of this machine, is looked for by its port.
func NewHost(ctx context.Context, source Source, target string) (*Host, error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return nil, fmt.Errorf("use of the machine: %w here: %w", ErrUnavailable, err)
	}
	h := newHost(fs)
	self := os.Getpid()
	h.roots = func() []int { return []int{self} }
	switch s := source.(type) {
	case *processSource:
		h.roots = func() []int { return []int{self, s.pid} }
	case *cgroupSource:
		h.roots = func() []int { return append(s.pids(), self) }
	default:
		port, here := localPort(ctx, target)
		pid, _, found := listener(fs, port)
		switch {
		case !here:
			h.server = evidence.HostServerRemote
		case !found:
			h.server = evidence.HostServerUnknown
		default:
			h.roots = func() []int { return []int{self, pid} }
		}
	}
	_, err = h.Read()
	return h, err
}

func newHost(fs procfs.FS) *Host {
	return &Host{fs: fs, server: evidence.HostServerCounted, cpu: map[int]float64{},
		queues: map[int]procfs.ProcSchedstat{}, now: time.Now}
}

// Read reads the counters.
func (h *Host) Read() (*evidence.Host, error) {
	stat, err := h.fs.Stat()
	if err != nil {
		return nil, fmt.Errorf("use of the machine: %w here: %w", ErrUnavailable, err)
	}
	t := stat.CPUTotal // User holds Guest, and Nice GuestNice
	out := &evidence.Host{Cores: len(stat.CPU), Busy: t.User + t.Nice + t.System, Idle: t.Idle + t.Iowait,
		Steal: t.Steal, Server: h.server}
	alive, now := map[int]procfs.ProcSchedstat{}, h.now()
	quarter := uint64(now.Sub(h.read)) / 4
	if h.read.IsZero() {
		quarter = math.MaxUint64
	}
	h.read = now
	for _, pid := range families(h.fs, h.roots()...) {
		p, err := h.fs.Proc(pid)
		if err != nil {
			continue // it has ended since
		}
		if s, err := p.Stat(); err == nil {
			h.cpu[pid] = s.CPUTime()
		}
		h.threads(pid, alive, quarter)
	}
	h.queues = alive
	for _, cpu := range h.cpu { // those that ended keep theirs
		out.Own += cpu
	}
	out.Waited, out.Held, out.Turns = float64(h.waited)/1e9, float64(h.held)/1e9, int64(h.turns)
	if psi, err := h.fs.PSIStatsForResource("cpu"); err == nil && psi.Some != nil {
		out.Pressure = float64(psi.Some.Total) / 1e6
	}
	return out, nil
}

// threads adds what a process's threads have waited since the last reading. quarter is a quarter of the time since
// then.
func (h *Host) threads(pid int, alive map[int]procfs.ProcSchedstat, quarter uint64) {
	threads, err := h.fs.AllThreads(pid)
	if err != nil {
		return
	}
	for _, t := range threads {
		s, err := t.Schedstat()
		if err != nil {
			continue
		}
		last := h.queues[t.PID]
		if s.RunTimeslices < last.RunTimeslices || s.WaitingNanoseconds < last.WaitingNanoseconds ||
			s.RunningNanoseconds < last.RunningNanoseconds {
			last = procfs.ProcSchedstat{} // another thread of the same number
		}
		alive[t.PID] = s
		waited := s.WaitingNanoseconds - last.WaitingNanoseconds
		h.waited += waited
		if s.RunningNanoseconds-last.RunningNanoseconds >= quarter {
			h.held += waited
		}
		h.turns += s.RunTimeslices - last.RunTimeslices
	}
}

// localPort is the port of a target on this machine; here is false where it is elsewhere.
func localPort(ctx context.Context, target string) (port int, here bool) {
	u, err := url.Parse(target)
	if err != nil {
		return 0, false
	}
	name := u.Port()
	if name == "" {
		name = map[string]string{"https": "443"}[u.Scheme]
	}
	if port, err = strconv.Atoi(name); err != nil {
		port = 80
	}
	addresses, err := net.DefaultResolver.LookupIPAddr(ctx, u.Hostname())
	if err != nil {
		return port, false
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		own = nil // loopback is known without them
	}
	for _, a := range addresses {
		if a.IP.IsLoopback() || slices.ContainsFunc(own, func(n net.Addr) bool {
			i, ok := n.(*net.IPNet)
			return ok &&
				i.IP.Equal(a.IP)
		}) {
			return port, true
		}
	}
	return port, false
}

// forwarders listen for others: their CPU is not the server's.
var forwarders = []string{"docker-proxy", "rootlessport", "kubectl", "ssh", "socat"}

// listener finds the process that listens on a TCP port of this machine.
func listener(fs procfs.FS, port int) (pid int, name string, ok bool) {
	sockets := map[string]bool{}
	for _, name := range []string{"tcp", "tcp6"} {
		table, err := os.ReadFile(filepath.Join(procfs.DefaultMountPoint, "net", name))
		if err != nil {
			continue // no such protocol here
		}
		for _, socket := range listening(string(table), port) {
			sockets[socket] = true
		}
	}
	if len(sockets) == 0 {
		return 0, "", false
	}
	all, err := fs.AllProcs()
	if err != nil {
		return 0, "", false
	}
	for _, p := range all {
		open, err := p.FileDescriptorTargets()
		if err != nil || !slices.ContainsFunc(open, func(s string) bool { return sockets[s] }) {
			continue // another user's are not readable
		}
		name, _ = p.Comm()
		return p.PID, name, !slices.Contains(forwarders, name)
	}
	return 0, "", false
}

// listening lists the sockets of a table of connections (/proc/net/tcp) that listen on a port, as links of descriptors
// name them.
func listening(table string, port int) []string {
	const state, inode = 3, 9 // columns, from 0; local address is column 1
	var out []string
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) > inode && f[state] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
			out = append(out, "socket:["+f[inode]+"]")
		}
	}
	return out
}

// ListensAt finds the process of this machine that listens at an address: what a caller may want to name.
func ListensAt(ctx context.Context, target string) (pid int, name string, ok bool) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return 0, "", false
	}
	port, here := localPort(ctx, target)
	if !here {
		return 0, "", false
	}
	return listener(fs, port)
}
