package probe

import (
	"context"
	"fmt"
	"maps"
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

// HostInterval is the time between two readings of the use of the machine. The counters' resolution of 10 ms is a
// hundredth of it.
const HostInterval = errorEvery

// Host reads who uses this machine: the counters of its processors, and how much of them the certifier and the server
// used. It is not safe for concurrent use.
type Host struct {
	fs     procfs.FS
	server evidence.HostServer
	roots  func() []int // the processes of the certifier and of the server
	cpu    map[int]float64
	queues map[int]procfs.ProcSchedstat // by thread id
	waited uint64                       // time that threads waited for a core, in ns
	held   uint64                       // the same for threads that compute, in ns
	turns  uint64
	now    func() time.Time
	read   time.Time
}

// NewHost observes the machine for a run against the server at URL target, whose resources come from source. If source
// does not name the server's processes, and target is an address of this machine, the server is found by its port. The
// error matches ErrUnavailable on systems without /proc.
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

// Read reads the counters. Its errors match ErrUnavailable.
func (h *Host) Read() (*evidence.Host, error) {
	stat, err := h.fs.Stat()
	if err != nil {
		return nil, fmt.Errorf("use of the machine: %w here: %w", ErrUnavailable, err)
	}
	t := stat.CPUTotal // User includes Guest, and Nice includes GuestNice
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
			continue // the process has ended since it was listed
		}
		if s, err := p.Stat(); err == nil {
			h.cpu[pid] = s.CPUTime()
		}
		h.threads(pid, alive, quarter)
	}
	h.queues = alive
	for _, pid := range slices.Sorted(maps.Keys(h.cpu)) { // processes that have ended still count
		out.Own += h.cpu[pid]
	}
	out.Waited, out.Held, out.Turns = float64(h.waited)/1e9, float64(h.held)/1e9, int64(h.turns)
	if psi, err := h.fs.PSIStatsForResource("cpu"); err == nil && psi.Some != nil {
		out.Pressure = float64(psi.Some.Total) / 1e6
	}
	return out, nil
}

// threads adds how long a process's threads have waited since the last reading. quarter is a quarter of the time since
// then, in ns: a thread that ran for longer counts as computing.
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
			last = procfs.ProcSchedstat{} // a new thread with the same number
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

// localPort is the port of a target. here says whether the target is on this machine.
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
		own = nil // loopback addresses are known without the interfaces
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

// forwarders are programs that listen for another program, so their CPU time is not the server's.
var forwarders = []string{"docker-proxy", "rootlessport", "kubectl", "ssh", "socat"}

// listener finds the process that listens on a TCP port of this machine. ok is false if there is none, if it is not
// readable, or if it is a forwarder.
func listener(fs procfs.FS, port int) (pid int, name string, ok bool) {
	sockets := map[string]bool{}
	for _, name := range []string{"tcp", "tcp6"} {
		table, err := os.ReadFile(filepath.Join(procfs.DefaultMountPoint, "net", name))
		if err != nil {
			continue // this machine does not have the protocol
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

// listening lists the sockets that listen on a port, from a table of connections (/proc/net/tcp). Their names are
// those of the links in /proc/PID/fd.
func listening(table string, port int) []string {
	const state, inode = 3, 9 // columns, from 0; the local address is column 1
	var out []string
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) > inode && f[state] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
			out = append(out, "socket:["+f[inode]+"]")
		}
	}
	return out
}

// ListensAt finds the process on this machine that listens at the address of a target, with the program's name. ok is
// false if there is none, or if the process only forwards.
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
