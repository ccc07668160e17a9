package judge

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// Other programs on the certifier's machine make a server on it look slow, and make the certifier itself late. Figures
// that they slowed down prove nothing against the server, so FAIL becomes INVALID. They make nothing faster, so PASS
// stands. The exception is a comparison whose earlier side was slowed.
const (
	// Other programs do not hinder a run while cores are idle, and hinder it little with less than a fifth of the
	// cores. They hinder if they use othersShare of the machine or more, and less than fullShare of it is idle.
	othersShare = 0.2
	fullShare   = 0.1

	// longWait is the mean time that a ready thread of the run waited for a core, from which on it was hindered. An
	// answer of eight tokens waits about ten times, so a millisecond each adds up to what the degradation checks look
	// for. Waits are measured because a process of high priority hardly waits, however much the others compute.
	longWait = 0.001 // s

	// heldShare is the share of the time from which on waiting hinders threads that compute, that is, those that had a
	// core for at least a quarter of the time. Waiting for a fifth of the time makes a computation a quarter slower.
	heldShare = 0.2

	// pressureShare is the share of the time in which anything on the machine waited for a core (pressure stall
	// information). It is used where the kernel does not report the waits of threads.
	pressureShare = 0.2

	// shortestUse is the least time between two readings that are compared, because the counters have a resolution of
	// 10 ms.
	shortestUse = 500 * time.Millisecond

	// takenLimit is the share of a window from which on the lost time matters. Means, and comparisons of thirds,
	// tolerate less than a tenth.
	takenLimit = 0.1

	// slowedShare is the share of the earlier of two stretches that must have been taken before a PASS of their
	// comparison is doubted. A median hardly moves unless more than half of its sample does.
	slowedShare = 2. / 3
)

// use says who used a machine between two readings.
type use struct {
	machine       int // 0 is the certifier's; others have their generator's number
	from, to      int64
	others, steal float64 // shares of the machine's CPU time
	filled        bool    // others use much of it, and little is idle
	wait          float64 // mean wait of a thread for a core, in seconds
	held          float64 // share of the time for which threads that compute waited; the sum over threads
	lost          float64 // share of the time that was lost: 1 if others hindered the run, else what was stolen
}

// uses computes from its counters who used each machine. A machine without counters has no use, and excuses nothing.
func uses(readings []at[*evidence.Host], rules int) (out []use) {
	of := map[int][]at[*evidence.Host]{}
	for _, x := range readings {
		of[x.v.Generator] = append(of[x.v.Generator], x)
	}
	for _, machine := range slices.Sorted(maps.Keys(of)) {
		out = append(out, usesOf(machine, of[machine], rules)...)
	}
	return out
}

func usesOf(machine int, readings []at[*evidence.Host], rules int) []use {
	var out []use
	last := 0
	for i := range readings {
		a, b := readings[last].v, readings[i].v
		u := use{machine: machine, from: readings[last].ns, to: readings[i].ns}
		span := seconds(u.to - u.from)
		all := span * float64(b.Cores)
		if u.to-u.from < int64(shortestUse) || !(all > 0) {
			continue
		}
		last = i
		// A reader that lost its core between reading the counters and the clock has counters of another moment. The
		// CPU time that the counters themselves account for is then the right whole.
		if accounted := b.Busy - a.Busy + b.Idle - a.Idle + b.Steal - a.Steal; rules >= 3 && accounted > 0 {
			all = accounted
		}
		own := max(b.Own-a.Own, 0)
		u.steal = (b.Steal - a.Steal) / all
		if b.Server != evidence.HostServerUnknown {
			u.others = max(b.Busy-a.Busy-own, 0) / all
		}
		full := (b.Idle-a.Idle)/all < fullShare
		hindered := true
		if turns := b.Turns - a.Turns; turns > 0 {
			u.wait = (b.Waited - a.Waited) / float64(turns)
			u.held = (b.Held - a.Held) / span
			hindered = u.wait >= longWait || u.held >= heldShare
		} else if b.Pressure > 0 {
			hindered = (b.Pressure-a.Pressure)/span >= pressureShare
		}
		u.filled = u.others >= othersShare && full
		if u.lost = min(max(u.steal, 0), 1); u.filled && hindered {
			u.lost = 1
		}
		out = append(out, u)
	}
	return out
}

// takenOf is for how many seconds of a window others had the machine, and a description of it. Of several machines it
// describes the one that lost most.
func (r *run) takenOf(from, to int64) (length float64, why string) {
	for list := range byMachine(r.uses) {
		if l, w := takenOn(list, from, to); l > length {
			length, why = l, w
			if m := list[0].machine; m > 0 {
				why = fmt.Sprintf("on the machine of generator %d ", m) + w
			}
		}
	}
	return length, why
}

// byMachine iterates over the machines, with the uses of each. all must be in the order of machines.
func byMachine(all []use) func(func([]use) bool) {
	return func(yield func([]use) bool) {
		for len(all) > 0 {
			n := 1
			for n < len(all) && all[n].machine == all[0].machine {
				n++
			}
			if !yield(all[:n]) {
				return
			}
			all = all[n:]
		}
	}
}

func takenOn(list []use, from, to int64) (length float64, why string) {
	var sum use
	for _, u := range list {
		over := seconds(min(u.to, to)-max(u.from, from)) * u.lost
		if over <= 0 {
			continue
		}
		length += over
		sum.others += u.others * over
		sum.steal += u.steal * over
		sum.wait += u.wait * over
		sum.held += u.held * over
	}
	if length == 0 {
		return 0, ""
	}
	why = fmt.Sprintf("other work took the machine for %s of %s s: %s of its cores", num(length),
		num(seconds(to-from)), percent(sum.others/length))
	if sum.steal > 0 {
		why += fmt.Sprintf(", and other machines on the same hardware %s", percent(sum.steal/length))
	}
	if sum.wait > 0 {
		why += fmt.Sprintf("; the run's own threads waited %s ms for each turn", num(sum.wait/length*1000))
	}
	if sum.held > 0 {
		why += fmt.Sprintf(", those that compute for %s of the time", percent(sum.held/length))
	}
	return length, why
}

// takenShare is takenOf as a share of the window.
func (r *run) takenShare(from, to int64) (share float64, why string) {
	if to <= from {
		return 0, ""
	}
	length, why := r.takenOf(from, to)
	return length / seconds(to-from), why
}

// taken says that others had the machine for too much of a phase; "" if they did not.
func (r *run) taken(p *phase) string {
	if p == nil || p.ran == nil {
		return ""
	}
	if share, why := r.takenShare(p.from, p.to); share >= takenLimit {
		return "phase " + p.plan.ID + ": " + why
	}
	return ""
}

// hindered turns FAIL into INVALID if others slowed down one of the phases on which it depends.
func (r *run) hindered(o outcome, phases []*phase) outcome {
	if o.verdict != report.Fail {
		return o
	}
	for _, p := range phases {
		if why := r.taken(p); why != "" {
			return distrusted(o, why)
		}
	}
	return o
}

// compared does the same for a comparison of two stretches. It also turns a PASS into INVALID if most of the earlier
// stretch was slowed and the later one was not. Short waits, which do not count as lost time, add up over a request.
// So a FAIL also becomes INVALID if answers waited longer in the later stretch, by at least as much as the shift is
// above its limit.
func (r *run) compared(o outcome, a, b stretch) outcome {
	before, whyBefore := r.takenShare(a.from, a.until)
	after, whyAfter := r.takenShare(b.from, b.until)
	waited := 1000 * (r.waitedFor(b) - r.waitedFor(a))
	switch {
	case o.verdict == report.Fail && after >= takenLimit:
		return distrusted(o, whyAfter+" in the later stretch")
	case o.verdict == report.Fail && before >= takenLimit || o.verdict == report.Pass && before >= slowedShare &&
		before > 2*after:
		return distrusted(o, whyBefore+" in the earlier stretch")
	case o.verdict == report.Fail && waited >= o.beyond:
		return distrusted(o, fmt.Sprintf("others filled the machine, and an answer waited %s ms longer for its "+
			"turns in the later stretch", num(waited)))
	}
	return o
}

// turnsFor is how often an answer waits for a core, one wait after the other. One thread of the server and one of the
// client must run for each chunk, for the request and for the end.
func turnsFor(chunks float64) float64 { return 2 * (chunks + 2) }

// waitedFor is for how many seconds, on average, an answer of a stretch waited for a core while others filled the
// machine.
func (r *run) waitedFor(s stretch) float64 {
	var sum, length float64
	for _, u := range r.uses {
		if over := float64(min(u.to, s.until) - max(u.from, s.from)); over > 0 {
			length += over
			if u.filled {
				sum += u.wait * over
			}
		}
	}
	if length == 0 {
		return 0
	}
	return turnsFor(s.chunks) * sum / length
}

func distrusted(o outcome, why string) outcome {
	o.reason = fmt.Sprintf("cannot be trusted (%s); what was measured would be %s: %s", why, o.verdict, o.reason)
	o.verdict = report.Invalid
	return o
}

// machineUse says in one line who used the certifier's machine over the run.
func (r *run) machineUse() string { return useOf(r.usesOn(0), r.serverAt(0)) }

// usesOn lists the uses of one machine.
func (r *run) usesOn(machine int) []use {
	for list := range byMachine(r.uses) {
		if list[0].machine == machine {
			return list
		}
	}
	return nil
}

// serverAt says where the server is, as seen from a machine.
func (r *run) serverAt(machine int) evidence.HostServer {
	for _, x := range r.hosts {
		if x.v.Generator == machine {
			return x.v.Server
		}
	}
	return ""
}

func useOf(uses []use, server evidence.HostServer) string {
	if len(uses) == 0 {
		return ""
	}
	var others, steal, length, taken, peak float64
	for _, u := range uses {
		span := seconds(u.to - u.from)
		length, others, steal, peak = length+span, others+u.others*span, steal+u.steal*span, max(peak, u.others)
		taken += span * u.lost
	}
	s := fmt.Sprintf("others took %s of the cores on average, %s at most", percent(others/length), percent(peak))
	if server == evidence.HostServerUnknown {
		s = "what others took is not known: the server runs here, and its processes were not found (name them with " +
			"--pid or --cgroup)"
	}
	if steal > 0 {
		s += fmt.Sprintf(", other machines %s", percent(steal/length))
	}
	return s + fmt.Sprintf("; they hindered the run in %s of %s s", num(taken), num(length))
}
