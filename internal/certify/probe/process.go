package probe

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/procfs"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// familyAge is how long a process's list of descendants is used before it is read again, which needs all of /proc.
const familyAge = time.Second

// processSource samples a process and its descendants, because servers such as vLLM fork workers. Memory that they
// share is counted for each of them, so the sum is an upper bound. A control group counts it once.
type processSource struct {
	name string
	pid  int
	fs   procfs.FS
	now  func() time.Time

	mu     sync.Mutex
	family []int
	found  time.Time
	cpu    map[int]float64 // the last CPU seconds of every process, including those that have ended
}

// Self samples the certifier's own process, for a server that runs inside it. The error matches ErrUnavailable on
// systems without /proc.
func Self() (Source, error) { return newProcess("self", os.Getpid(), procfs.DefaultMountPoint) }

// PID samples process pid and its descendants. It fails if the process cannot be read.
func PID(pid int) (Source, error) {
	return newProcess(fmt.Sprintf("pid %d", pid), pid, procfs.DefaultMountPoint)
}

func newProcess(name string, pid int, root string) (Source, error) {
	fs, err := procfs.NewFS(root)
	if err != nil {
		return nil, fmt.Errorf("%s: %w here: %w", name, ErrUnavailable, err)
	}
	s := &processSource{name: name, pid: pid, fs: fs, now: time.Now, cpu: map[int]float64{}}
	if _, err := s.Sample(context.Background()); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *processSource) Name() string { return s.name }

// Sample reads the processes from /proc.
func (s *processSource) Sample(context.Context) (evidence.Sample, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.now(); s.family == nil || now.Sub(s.found) >= familyAge {
		s.family, s.found = families(s.fs, s.pid), now
	}
	var sum evidence.Sample
	for _, pid := range s.family {
		if err := s.add(&sum, pid); err != nil && pid == s.pid {
			return evidence.Sample{}, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	for _, pid := range slices.Sorted(maps.Keys(s.cpu)) { // a sum depends on its order
		sum.CPUSeconds += s.cpu[pid]
	}
	return sum, nil
}

// add adds one process to the sum. It fails if the process has ended since it was found.
func (s *processSource) add(sum *evidence.Sample, pid int) error {
	p, err := s.fs.Proc(pid)
	if err != nil {
		return err
	}
	status, err := p.NewStatus()
	if err != nil {
		return err
	}
	stat, err := p.Stat()
	if err != nil {
		return err
	}
	if stat.State == "Z" {
		return errors.New("has ended")
	}
	sum.RSS += int64(status.VmRSS)
	sum.Anon += int64(status.RssAnon)
	sum.File += int64(status.RssFile)
	sum.Shared += int64(status.RssShmem)
	sum.Threads += stat.NumThreads
	if n, err := p.FileDescriptorsLen(); err == nil { // not readable for another user's process
		sum.FDs += n
	}
	s.cpu[pid] = stat.CPUTime()
	return nil
}

// families lists processes and all their descendants, each once.
func families(fs procfs.FS, roots ...int) []int {
	slices.Sort(roots)
	family := slices.Compact(roots)
	all, err := fs.AllProcs()
	if err != nil {
		return family
	}
	children := map[int][]int{}
	for _, p := range all {
		if stat, err := p.Stat(); err == nil {
			children[stat.PPID] = append(children[stat.PPID], p.PID)
		}
	}
	seen := map[int]bool{}
	for _, pid := range family {
		seen[pid] = true
	}
	for i := 0; i < len(family); i++ {
		for _, c := range children[family[i]] {
			if !seen[c] {
				seen[c] = true
				family = append(family, c)
			}
		}
	}
	return family
}
