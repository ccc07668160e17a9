package mixtral

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/host"
	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// Memory is what the process holds, in bytes.
type Memory struct {
	RSS  int64 // resident: Anon + File + shared; this is what a memory limit is about
	Anon int64 // of these, the process's own: weights, KV cache, heap; 0 if the system does not say
	File int64 // of these, pages of mapped files, which the system can take back; 0 if the system does not say
	Peak int64 // the highest RSS so far; 0 if the system does not say
}

// MemoryUsage measures the process, from /proc/self/status on Linux. Elsewhere it gives what the Go runtime holds.
func (s *Service) MemoryUsage() (Memory, error) {
	u, err := host.Self()
	return Memory{RSS: u.RSS, Anon: u.Anon, File: u.File, Peak: u.Peak}, err
}

// CPU is the processor time of the process.
type CPU struct {
	Cores float64       // mean number of cores in use since the last call, or since Open; 0 if no time has passed
	Total time.Duration // user and system time since the process started
}

// CPUUsage measures the process, by getrusage(2) on Linux. Its resolution there is about a microsecond, so even short
// intervals between calls give a useful mean.
func (s *Service) CPUUsage() (CPU, error) {
	u, err := host.Self()
	if err != nil {
		return CPU{}, err
	}
	return CPU{Cores: s.meter.add(time.Now(), u.CPU), Total: u.CPU}, nil
}

// cpuMeter turns readings of a clock and of a processor time into cores.
type cpuMeter struct {
	at   time.Time
	used time.Duration
}

func (m *cpuMeter) next(at time.Time, used time.Duration) (cores float64) {
	if wall := at.Sub(m.at); wall > 0 && used > m.used && !m.at.IsZero() {
		cores = used.Seconds() - m.used.Seconds()
		cores /= wall.Seconds()
	}
	m.at, m.used = at, used
	return cores
}

// lockedBudget is a host.Budget for many goroutines; a nil one sets no bounds.
type lockedBudget struct {
	mu sync.Mutex
	b  host.Budget
}

// newBudget holds the process to its cores, where it is the service's own and there are more.
func (s *Service) newBudget() *lockedBudget {
	most := float64(s.config.CPUCores)
	if q := s.limits.Quota; q > 0 {
		most = min(most, q) // beyond it, the kernel would stop everything for the rest of its period, answers too
	}
	if !s.config.OwnProcess || most >= float64(s.limits.Cores) {
		return nil
	}
	return &lockedBudget{b: host.Budget{Cores: most}}
}

// pause lets a computing thread sleep for as long as it has to.
func (l *lockedBudget) pause() {
	if l == nil {
		return
	}
	l.mu.Lock()
	d := l.b.Pause(time.Now(), host.CPUTime())
	l.mu.Unlock()
	if d > 0 {
		time.Sleep(d)
	}
}

// hold says how long a request is to wait.
func (l *lockedBudget) hold() time.Duration {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Hold(time.Now(), host.CPUTime())
}

// ErrMemory is matched when a model cannot be served within the memory limit; the message shows the arithmetic.
var ErrMemory = errors.New("memory limit too low")

// MemoryPlan is how the memory limit is spent, in bytes.
type MemoryPlan struct {
	Limit   int64  // what may be used
	Bound   string // what sets the limit: "memory_limit_gb", "the machine", "cgroup v2"
	Weights int64  // the model, packed
	KV      int64  // keys and values of running requests, and of prompts that may come again
	KVType  string // how they are kept: "f16" or "q8_0"
	Reserve int64  // everything else: buffers of the computation, requests, the Go runtime
}

// GoLimit is what the Go runtime may use of it, for debug.SetMemoryLimit: the weights are outside its heap.
func (p MemoryPlan) GoLimit() int64 { return p.Limit - p.Weights }

// ReserveBytes is kept for everything but weights and KV cache. Measured under load from 12 clients, beside weights
// and the KV cache in use: 25 MB with the tiny synthetic model, below 0.1 GB with one of 1.15 billion weights (dim
// 1024); 150 MB where half of the clients send bodies as large as are allowed. The buffers of a step grow with the
// model's width, four times that for Mixtral-8x7B.
const ReserveBytes = 384 << 20

const gib = 1 << 30

// memoryLimit picks the lowest of what the configuration, the control group and the machine allow.
func memoryLimit(c Config, l host.Limits) (bytes int64, bound string) {
	bytes, bound = int64(c.MemoryLimitGB*gib), "memory_limit_gb"
	if most, why := l.MemoryBound(); most > 0 && most < bytes {
		return most, why
	}
	return bytes, bound
}

// planMemory shares a limit out. The KV cache gets what whole contexts of all running requests can use, as far as
// there is room; one whole context must fit.
func planMemory(limit int64, bound string, m moe.Info, kv quant.KVType, running, context int) (MemoryPlan, error) {
	p := MemoryPlan{Limit: limit, Bound: bound, Weights: m.Packed, Reserve: ReserveBytes, KVType: kv.String()}
	one := m.KVBytes(kv, context+blockTokens-1) // whole blocks
	room := limit - p.Weights - p.Reserve
	if room < one {
		err := fmt.Errorf("%w: %.2f GiB of weights + %.2f GiB of KV cache for one context of %d tokens + %.2f GiB "+
			"for everything else = %.2f GiB, but %s allows %.2f GiB",
			ErrMemory, toGiB(p.Weights), toGiB(one), context, toGiB(p.Reserve), toGiB(p.Weights+one+p.Reserve), bound,
			toGiB(limit))
		if perToken := m.KVBytes(kv, blockTokens) / blockTokens; room >= m.KVBytes(kv, minContext) {
			err = fmt.Errorf("%w; a context_length of %d would fit", err, room/perToken/blockTokens*blockTokens)
		}
		if kv != quant.KVQ8 && room >= m.KVBytes(quant.KVQ8, context+blockTokens-1) {
			err = fmt.Errorf("%w; so would kv_type q8_0", err)
		}
		return p, err
	}
	p.KV = min(room, int64(running)*one)
	return p, nil
}

const (
	blockTokens = 16  // positions in a block of the KV cache
	minContext  = 256 // tokens: a shorter context is not worth proposing
)

func toGiB(bytes int64) float64 { return float64(bytes) / gib }
