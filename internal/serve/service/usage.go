package service

import (
	"sync"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/host"
)

// CPUUsage measures the process: the mean number of cores in use since the last call, or since New, and its processor
// time since it started.
func (s *Service) CPUUsage() (cores float64, total time.Duration, err error) {
	u, err := host.Self()
	if err != nil {
		return 0, 0, err
	}
	return s.meter.add(time.Now(), u.CPU), u.CPU, nil
}

// lockedMeter is a cpuMeter for many goroutines.
type lockedMeter struct {
	mu sync.Mutex
	m  cpuMeter
}

func (l *lockedMeter) add(at time.Time, used time.Duration) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.m.next(at, used)
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
	most := float64(s.o.CPUCores)
	if q := s.limits.Quota; q > 0 {
		most = min(most, q) // beyond it, the kernel would stop everything for the rest of its period, answers too
	}
	if !s.o.OwnProcess || most >= float64(s.limits.Cores) {
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
