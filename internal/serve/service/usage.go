package service

import (
	"sync"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/host"
)

// CPUUsage measures the process: the mean number of cores used since the last call, or since New, and the processor
// time since its start.
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

// cpuMeter computes cores from readings of a clock and of the processor time.
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

// lockedBudget is a host.Budget for many goroutines; a nil one sets no limit.
type lockedBudget struct {
	mu sync.Mutex
	b  host.Budget
}

// newBudget limits the process to its cores if the process is the service's own and the machine has more.
func (s *Service) newBudget() *lockedBudget {
	most := float64(s.o.CPUCores)
	if q := s.limits.Quota; q > 0 {
		most = min(most, q) // above it, the kernel would stop everything until its period ends, answers too
	}
	if !s.o.OwnProcess || most >= float64(s.limits.Cores) {
		return nil
	}
	return &lockedBudget{b: host.Budget{Cores: most}}
}

// pause lets a computing thread sleep for as long as the budget requires.
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

// hold returns how long a request has to wait.
func (l *lockedBudget) hold() time.Duration {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Hold(time.Now(), host.CPUTime())
}
