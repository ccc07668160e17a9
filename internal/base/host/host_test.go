package host

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// tree writes files under a new root.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const (
	mountV2     = "30 23 0:28 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw\n"
	mountMemory = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
	mountCPU    = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
	noLimit     = "9223372036854771712\n"
)

func TestGroups(t *testing.T) {
	for _, test := range []struct {
		name   string
		files  map[string]string
		memory int64
		quota  float64
		group  string
	}{
		{"none", nil, 0, 0, ""},
		{"version 2", map[string]string{
			"proc/self/cgroup": "0::/app/web\n", "proc/self/mountinfo": mountV2,
			"sys/fs/cgroup/app/web/cgroup.controllers": "cpu memory pids\n",
			"sys/fs/cgroup/app/web/memory.max":         "max\n", "sys/fs/cgroup/app/web/cpu.max": "150000 100000\n",
			"sys/fs/cgroup/app/memory.max": "1000000\n", "sys/fs/cgroup/app/cpu.max": "max 100000\n",
		}, 1000000, 1.5, "cgroup v2"},
		{"version 2, the lowest counts", map[string]string{
			"proc/self/cgroup": "0::/a/b\n", "proc/self/mountinfo": mountV2,
			"sys/fs/cgroup/a/b/cgroup.controllers": "cpu memory\n",
			"sys/fs/cgroup/a/b/memory.max":         "5000\n", "sys/fs/cgroup/a/memory.max": "9000\n",
			"sys/fs/cgroup/a/b/cpu.max": "400000 100000\n", "sys/fs/cgroup/a/cpu.max": "200000 100000\n",
		}, 5000, 2, "cgroup v2"},
		{"version 2 in a container of its own", map[string]string{
			"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": mountV2,
			"sys/fs/cgroup/cgroup.controllers": "memory\n", "sys/fs/cgroup/memory.max": "77\n",
		}, 77, 0, "cgroup v2"},
		{"version 1", map[string]string{
			"proc/self/cgroup": "5:memory:/job\n4:cpuacct,cpu:/job\n", "proc/self/mountinfo": mountMemory + mountCPU,
			"sys/fs/cgroup/memory/job/memory.limit_in_bytes":  "2048\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":      noLimit,
			"sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us":  "50000\n",
			"sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
			"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us":      "-1\n",
			"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us":     "100000\n",
		}, 2048, 0.5, "cgroup v1"},
		{"version 1 without limits", map[string]string{
			"proc/self/cgroup": "5:memory:/\n", "proc/self/mountinfo": mountMemory,
			"sys/fs/cgroup/memory/memory.limit_in_bytes": noLimit,
		}, 0, 0, "cgroup v1"},
		{"version 1 seen from inside a container", map[string]string{
			"proc/self/cgroup": "5:memory:/docker/0123\n",
			"proc/self/mountinfo": "35 31 0:32 /docker/0123 /sys/fs/cgroup/memory ro - " +
				"cgroup cgroup rw,memory\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "4096\n",
		}, 4096, 0, "cgroup v1"},
		{"both versions", map[string]string{
			"proc/self/cgroup": "5:memory:/\n0::/\n", "proc/self/mountinfo": mountV2 + mountMemory,
			"sys/fs/cgroup/cgroup.controllers":           "cpu\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "99\n", "sys/fs/cgroup/cpu.max": "300000 100000\n",
		}, 99, 3, "cgroup v2"},
		{"garbage", map[string]string{
			"proc/self/cgroup": "x\n::\n0::/../../..\n", "proc/self/mountinfo": "x - \n" + mountV2,
			"sys/fs/cgroup/cgroup.controllers": "memory cpu", "sys/fs/cgroup/memory.max": "-5",
			"sys/fs/cgroup/cpu.max": "a b",
		}, 0, 0, "cgroup v2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var l Limits
			readGroup(tree(t, test.files), &l)
			if l.GroupMemory != test.memory || l.Quota != test.quota || l.Group != test.group {
				t.Errorf("%+v, want %d bytes, %v cores, %q", l, test.memory, test.quota, test.group)
			}
		})
	}
}

func TestBounds(t *testing.T) {
	for _, test := range []struct {
		l      Limits
		cores  int
		why    string
		memory int64
	}{
		{Limits{Cores: 4, Memory: 100}, 4, "the machine has 4", 100},
		{Limits{Cores: 4, Quota: 2.5, Memory: 100, GroupMemory: 50, Group: "cgroup v2"}, 2, "cgroup v2 allows 2.5",
			50},
		{Limits{Cores: 4, Quota: 0.5, GroupMemory: 50, Group: "cgroup v1"}, 1, "cgroup v1 allows 0.5", 50},
		{Limits{Cores: 2, Quota: 8, Memory: 100, GroupMemory: 200}, 2, "the machine has 2", 100},
	} {
		cores, why := test.l.Usable()
		memory, _ := test.l.MemoryBound()
		if cores != test.cores || why != test.why || memory != test.memory {
			t.Errorf("%+v: %d (%s), %d bytes", test.l, cores, why, memory)
		}
	}
}

// TestSelf: memory that is used appears in the figures, and so does time.
func TestSelf(t *testing.T) {
	debug.FreeOSMemory() // otherwise pages of an earlier run are used again, and there is no growth
	before, err := Self()
	if err != nil {
		t.Fatal(err)
	}
	const size = 64 << 20
	block := make([]byte, size)
	for i := 0; i < size; i += 4096 {
		block[i] = 1
	}
	deadline := time.Now().Add(time.Minute)
	after, err := Self()
	for sum := 0; err == nil && after.CPU-before.CPU < 50*time.Millisecond && time.Now().Before(deadline); {
		for i := range block {
			sum += int(block[i])
		}
		after, err = Self()
	}
	runtime.KeepAlive(block)
	if err != nil || after.RSS-before.RSS < size/2 || after.CPU-before.CPU < 50*time.Millisecond {
		t.Errorf("before %+v, after %+v, %v", before, after, err)
	}
	if runtime.GOOS == "linux" && (after.Anon+after.File > after.RSS || after.Anon == 0 || after.Peak < after.RSS) {
		t.Errorf("parts do not fit: %+v", after)
	}
}

func TestRead(t *testing.T) {
	l := Read()
	if cores, _ := l.Usable(); cores < 1 || l.Cores < 1 {
		t.Errorf("%+v", l)
	}
	if runtime.GOOS != "linux" {
		return
	}
	if l.Memory <= 0 || l.Available <= 0 || l.Available > l.Memory {
		t.Errorf("%+v", l)
	}
	if free, err := DiskFree(t.TempDir()); err != nil || free <= 0 {
		t.Error(free, err)
	}
	if _, err := DiskFree("/no/such/dir"); err == nil {
		t.Error("disk of nowhere")
	}
	if n, err := OpenFiles(); err != nil || n == 0 {
		t.Error(n, err)
	}
}
