package probe

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

const cgroupRoot = "/sys/fs/cgroup"

// cgroupSource samples a control group. Memory is the working set as Kubernetes computes it: the memory that the
// kernel charges, without the file pages that it would free first. So a page cache full of files that were read does
// not count.
type cgroupSource struct {
	name   string
	memory string // folder with the memory files
	cpu    string // folder with the CPU files; the same in v2
	v2     bool
}

// Cgroup samples the control group at path, which is absolute or relative to /sys/fs/cgroup (v2) or its memory
// controller (v1). The error matches ErrUnavailable if there is no such group.
func Cgroup(path string) (Source, error) { return newCgroup(cgroupRoot, path) }

func newCgroup(root, path string) (Source, error) {
	s := &cgroupSource{name: "cgroup " + path}
	rel := strings.TrimPrefix(filepath.Clean("/"+strings.TrimPrefix(path, root)), "/")
	if dir := filepath.Join(root, rel); exists(filepath.Join(dir, "memory.current")) {
		s.memory, s.cpu, s.v2 = dir, dir, true
	} else {
		rel = strings.TrimPrefix(strings.TrimPrefix(rel, "memory"), "/")
		s.memory = filepath.Join(root, "memory", rel)
		for _, controller := range []string{"cpuacct", "cpu,cpuacct"} {
			if dir := filepath.Join(root, controller, rel); exists(filepath.Join(dir, "cpuacct.usage")) {
				s.cpu = dir
			}
		}
		if !exists(filepath.Join(s.memory, "memory.usage_in_bytes")) {
			return nil, fmt.Errorf("%s: %w: neither %s/memory.current (v2) nor %s/memory.usage_in_bytes (v1) is "+
				"there", s.name, ErrUnavailable, dir, s.memory)
		}
	}
	_, err := s.Sample(context.Background())
	return s, err
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (s *cgroupSource) Name() string { return s.name }

// Sample reads the group's files.
func (s *cgroupSource) Sample(context.Context) (evidence.Sample, error) {
	sample, err := s.read()
	if err != nil {
		return evidence.Sample{}, fmt.Errorf("%s: %w", s.name, err)
	}
	return sample, nil
}

func (s *cgroupSource) read() (sample evidence.Sample, err error) {
	usage, inactive, anon, file, shared := "memory.usage_in_bytes", "total_inactive_file", "total_rss",
		"total_mapped_file", "total_shmem"
	if s.v2 {
		usage, inactive, anon, file, shared = "memory.current", "inactive_file", "anon", "file_mapped", "shmem"
	}
	charged, err := readNumber(filepath.Join(s.memory, usage))
	if err != nil {
		return sample, err
	}
	stat, err := readTable(filepath.Join(s.memory, "memory.stat"))
	if err != nil {
		return sample, err
	}
	sample.RSS = max(0, charged-stat[inactive])
	sample.Anon, sample.File, sample.Shared = stat[anon], stat[file], stat[shared]
	if s.v2 {
		cpu, err := readTable(filepath.Join(s.cpu, "cpu.stat"))
		if err != nil {
			return sample, err
		}
		sample.CPUSeconds = float64(cpu["usage_usec"]) / 1e6
	} else if s.cpu != "" {
		ns, err := readNumber(filepath.Join(s.cpu, "cpuacct.usage"))
		if err != nil {
			return sample, err
		}
		sample.CPUSeconds = float64(ns) / 1e9
	}
	if n, err := readNumber(filepath.Join(s.memory, "pids.current")); err == nil { // only if the controller is enabled
		sample.Threads = int(n)
	}
	return sample, nil
}

// pids lists the group's processes, without those of its child groups.
func (s *cgroupSource) pids() []int {
	data, err := os.ReadFile(filepath.Join(s.memory, "cgroup.procs"))
	if err != nil {
		return nil
	}
	var out []int
	for line := range strings.Lines(string(data)) {
		if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil {
			out = append(out, pid)
		}
	}
	return out
}

func readNumber(path string) (int64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(data)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return n, nil
}

// readTable reads lines of "key number".
func readTable(path string) (map[string]int64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	table := map[string]int64{}
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		key, value, ok := strings.Cut(lines.Text(), " ")
		if n, err := strconv.ParseInt(value, 10, 64); ok && err == nil {
			table[key] = n
		}
	}
	return table, nil
}
