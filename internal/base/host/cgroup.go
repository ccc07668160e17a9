package host

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// noLimitV1 is how version 1 shows "no limit": the largest multiple of a page; values near it mean no limit too.
const noLimitV1 = math.MaxInt64 >> 1

// group is one control group of the process: a directory and where its hierarchy is mounted.
type group struct {
	mount string // mount point: limits above it cannot be seen
	dir   string
	v2    bool
}

// groups finds the control group of each controller ("memory", "cpu") under root, which is "/" except in tests.
func groups(root string) map[string]group {
	membership, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return nil
	}
	mounts, err := os.ReadFile(filepath.Join(root, "proc/self/mountinfo"))
	if err != nil {
		return nil
	}
	found := map[string]group{}
	for line := range strings.Lines(string(mounts)) {
		m, ok := parseMount(line)
		if !ok {
			continue
		}
		for line := range strings.Lines(string(membership)) {
			parts := strings.SplitN(strings.TrimSpace(line), ":", 3) // id:controllers:path
			if len(parts) != 3 {
				continue
			}
			g := group{mount: filepath.Join(root, m.point), v2: m.v2}
			g.dir = m.locate(root, parts[2])
			switch {
			case m.v2 && parts[1] == "":
				for _, c := range controllers(g) {
					// version 1 takes precedence if both are mounted: a controller is in one of them
					if _, ok := found[c]; !ok {
						found[c] = g
					}
				}
			case !m.v2:
				for c := range strings.SplitSeq(parts[1], ",") {
					if c != "" && m.has(c) {
						found[c] = g
					}
				}
			}
		}
	}
	return found
}

// controllers lists the controllers of a version 2 group.
func controllers(g group) []string {
	data, err := os.ReadFile(filepath.Join(g.dir, "cgroup.controllers"))
	if err != nil {
		return nil
	}
	return strings.Fields(string(data))
}

// cgroupMount is a mounted hierarchy.
type cgroupMount struct {
	root, point string
	options     []string // of the file system: version 1 lists its controllers here
	v2          bool
}

// parseMount reads a line of mountinfo: id parent dev root point options… - type source superoptions.
func parseMount(line string) (cgroupMount, bool) {
	before, after, ok := strings.Cut(line, " - ")
	left, right := strings.Fields(before), strings.Fields(after)
	if !ok || len(left) < 5 || len(right) < 3 || right[0] != "cgroup" && right[0] != "cgroup2" {
		return cgroupMount{}, false
	}
	return cgroupMount{root: left[3], point: left[4], options: strings.Split(right[2], ","),
		v2: right[0] == "cgroup2"}, true
}

func (m cgroupMount) has(controller string) bool {
	for _, o := range m.options {
		if o == controller {
			return true
		}
	}
	return false
}

// locate finds the directory of a group. In a container the mount may show only a part of the hierarchy, or the path
// may be one outside the container: then the mount point itself is the group.
func (m cgroupMount) locate(root, path string) string {
	if m.root != "/" {
		path = strings.TrimPrefix(path, m.root)
	}
	dir := filepath.Join(root, m.point, filepath.Join("/", path))
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return filepath.Join(root, m.point)
	}
	return dir
}

// up visits a group and those above it, since each may have a lower limit than the one below.
func (g group) up(visit func(dir string)) {
	for dir := g.dir; ; dir = filepath.Dir(dir) {
		visit(dir)
		if dir == g.mount || len(dir) <= len(g.mount) {
			return
		}
	}
}

// memoryLimit returns the lowest limit in bytes, 0 if there is none.
func (g group) memoryLimit() (limit int64) {
	name := "memory.limit_in_bytes"
	if g.v2 {
		name = "memory.max"
	}
	g.up(func(dir string) {
		fields := readFields(dir, name)
		if len(fields) != 1 {
			return
		}
		n, err := strconv.ParseInt(fields[0], 10, 64)
		if err == nil && n > 0 && n < noLimitV1 && (limit == 0 || n < limit) {
			limit = n
		}
	})
	return limit
}

// cpuQuota returns the lowest limit in cores, 0 if there is none.
func (g group) cpuQuota() (cores float64) {
	g.up(func(dir string) {
		var fields []string
		if g.v2 {
			fields = readFields(dir, "cpu.max") // "max 100000" or "150000 100000"
		} else {
			// −1: no limit
			fields = append(readFields(dir, "cpu.cfs_quota_us"), readFields(dir, "cpu.cfs_period_us")...)
		}
		if len(fields) != 2 {
			return
		}
		quota, err := strconv.ParseFloat(fields[0], 64)
		period, err2 := strconv.ParseFloat(fields[1], 64)
		if err == nil && err2 == nil && quota > 0 && period > 0 && (cores == 0 || quota/period < cores) {
			cores = quota / period
		}
	})
	return cores
}

func readFields(dir, name string) []string {
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return nil
	}
	return strings.Fields(string(data))
}

// readGroup sets the limits of the control groups under root.
func readGroup(root string, l *Limits) {
	all := groups(root)
	memory, hasMemory := all["memory"]
	if hasMemory {
		l.GroupMemory = memory.memoryLimit()
	}
	cpu, hasCPU := all["cpu"]
	if hasCPU {
		l.Quota = cpu.cpuQuota()
	}
	switch {
	case hasMemory && memory.v2 || hasCPU && cpu.v2:
		l.Group = "cgroup v2"
	case hasMemory || hasCPU:
		l.Group = "cgroup v1"
	}
}
