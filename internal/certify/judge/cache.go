package judge

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// cacheClaim is what a server reports about its own cache: the memory it uses, and the most it may ever use. The claim
// explains growing memory only up to the declared bound, and only if nothing contradicts it.
type cacheClaim struct {
	used     []at[float64] // MB, at most the capacity, in the order of time
	capacity float64       // MB
	from, to int64         // the window that is judged
	refused  string        // why the claim is not accepted; "" if it is
}

const (
	// cacheStepMB is how much a cache may grow in idle without contradicting the claim: a request may still have been
	// under way, or a page been begun.
	cacheStepMB = 1

	// overShare is how far a cache may be above its bound, as a share of the bound. Its size is counted in pages, and
	// bounds often are not.
	overShare = 0.02

	// capacityMB is how far the reported capacity may vary and still count as constant: it is printed with a finite
	// number of digits.
	capacityMB = 0.01
)

// claimOf reads the server's claim for a phase from the scrapes; nil if the server reports no cache.
func (r *run) claimOf(p *phase, good []at[*evidence.Sample]) *cacheClaim {
	c := &cacheClaim{from: p.from, to: p.to}
	least, most, top := math.Inf(1), math.Inf(-1), 0.0
	for _, s := range r.scrapes {
		used, ok := s.v.Values[evidence.MetricCacheUsed]
		capacity, bounded := s.v.Values[evidence.MetricCacheCapacity]
		if s.v.Err != "" || !ok || !bounded {
			continue
		}
		least, most, top = math.Min(least, capacity/mib), math.Max(most, capacity/mib), math.Max(top, used/mib)
		c.used = append(c.used, at[float64]{s.ns - s.v.Took/2 - s.v.Age, used / mib})
	}
	if len(c.used) == 0 {
		return nil
	}
	slices.SortStableFunc(c.used, func(a, b at[float64]) int {
		return cmp.Or(cmp.Compare(a.ns, b.ns),
			cmp.Compare(a.v, b.v))
	})
	if c.capacity = least; c.capacity <= 0 {
		c.refused = "it has no bound"
	}
	for i := range c.used {
		c.used[i].v = math.Max(0, math.Min(c.used[i].v, c.capacity))
	}
	switch {
	case c.refused != "":
	case most-least > capacityMB:
		c.refused = fmt.Sprintf("its bound moved between %s and %s MB", num(least), num(most))
	case top > c.capacity*(1+overShare)+cacheStepMB:
		c.refused = fmt.Sprintf("it takes %s MB, and its bound is %s", num(top), num(c.capacity))
	default:
		c.refused = r.contradicted(c, p, good)
	}
	return c
}

// contradicted says what in the record contradicts a claim; "" if nothing does.
func (r *run) contradicted(c *cacheClaim, p *phase, good []at[*evidence.Sample]) string {
	inside := 0
	for _, u := range c.used {
		if u.ns >= c.from && u.ns <= c.to {
			inside++
		}
	}
	if inside == 0 {
		return "it was not read in the phase"
	}
	// A bound with which the server would exceed its memory limit does not excuse growth.
	if limit := r.c.Targets.MemoryGB; limit > 0 {
		i := slices.IndexFunc(good, func(s at[*evidence.Sample]) bool { return s.ns >= c.from })
		if i >= 0 {
			if full := gb(good[i].v.RSS) + (c.capacity-c.usedAt(c.from))/1024; full > limit {
				return fmt.Sprintf("once full, it takes the server to %s GB, and %s GB are allowed", num(full),
					num(limit))
			}
		}
	}
	// A cache must not grow while no requests are sent.
	for _, q := range r.phases {
		if q.plan.Kind != testcases.KindIdle || q.ran == nil {
			continue
		}
		var quiet []float64
		for _, u := range c.used {
			if u.ns >= r.lastDone(q.ran.Start) && u.ns <= q.ran.End+int64(blindGap) && u.ns < r.nextIssue(q.ran.End) {
				quiet = append(quiet, u.v)
			}
		}
		if grows(quiet) {
			return fmt.Sprintf("it grew by %s MB while nothing was asked", num(quiet[len(quiet)-1]-quiet[0]))
		}
	}
	return ""
}

// grows says whether a cache grew in idle. With enough readings it must have grown in both halves, because requests
// that were under way when the load ended can only add to the first.
func grows(quiet []float64) bool {
	n := len(quiet)
	if n < 3 {
		return n == 2 && quiet[1]-quiet[0] > cacheStepMB
	}
	return quiet[n/2]-quiet[0] > cacheStepMB && quiet[n-1]-quiet[n/2] > cacheStepMB
}

// lastDone is when the last of the requests that were sent before t had ended.
func (r *run) lastDone(t int64) int64 {
	last := int64(math.MinInt64)
	for _, p := range r.phases {
		for _, q := range p.requests {
			if q.Issued < t {
				last = max(last, q.Done)
			}
		}
	}
	return last
}

// nextIssue is when the first request at or after t was sent.
func (r *run) nextIssue(t int64) int64 {
	next := int64(math.MaxInt64)
	for _, p := range r.phases {
		for _, q := range p.requests {
			if q.Issued >= t {
				next = min(next, q.Issued)
			}
		}
	}
	return next
}

// explains says whether the growth of the cache may be subtracted from that of memory.
func (c *cacheClaim) explains() bool { return c != nil && c.refused == "" }

// usedAt is the memory that the cache used at a moment, in MB. Between two readings it is interpolated linearly;
// before the first and after the last it is that reading.
func (c *cacheClaim) usedAt(ns int64) float64 {
	i, found := slices.BinarySearchFunc(c.used, ns, func(u at[float64], t int64) int { return cmp.Compare(u.ns, t) })
	switch {
	case found || i == 0:
		return c.used[i].v
	case i == len(c.used):
		return c.used[i-1].v
	}
	a, b := c.used[i-1], c.used[i]
	return a.v + (b.v-a.v)*float64(ns-a.ns)/float64(b.ns-a.ns)
}

// grownAt is by how many MB the cache has grown since the window began.
func (c *cacheClaim) grownAt(ns int64) float64 { return c.usedAt(ns) - c.usedAt(c.from) }

// report is the claim as the report shows it.
func (c *cacheClaim) report() *report.Cache {
	if c == nil {
		return nil
	}
	return &report.Cache{GrownMB: c.grownAt(c.to), UsedMB: c.usedAt(c.to), CapacityMB: c.capacity, Refused: c.refused}
}

// explained says how much of the growing memory the server's cache explains; "" if it declares no cache.
func (f *leakFit) explained() string {
	c := f.claim
	if c == nil {
		return ""
	}
	if !c.explains() {
		return fmt.Sprintf("; the cache that the server declares does not explain it: %s", c.refused)
	}
	if c.grownAt(c.to) <= 0 {
		return "; the cache that the server declares did not grow"
	}
	return fmt.Sprintf("; explained by the cache that the server declares: %s of %s MB, which is now %s of at most "+
		"%s MB",
		signed(c.grownAt(c.to)), signed(f.grown), num(c.usedAt(c.to)), num(c.capacity))
}

// hoarder is a kind of server that keeps a bounded cache in memory without a metric for it.
type hoarder struct {
	mostMB float64
	why    string
}

// hoarders by the dialect of their metrics. Growth within the bound cannot be told from a leak.
var hoarders = map[string]hoarder{
	"llamacpp": {mostMB: 8192,
		why: "llama-server keeps prompts in memory, up to 8,192 MB unless --cache-ram says otherwise, and has no " +
			"metric of it, so that this cannot be told from a leak: " +
			"start it with --cache-ram 0, or with so little that the warm-up fills it"},
}

// grownSinceStart is by how much the largest sample of memory is above the first, in MB.
func (r *run) grownSinceStart(what string) float64 {
	good := r.goodSamples()
	value := func(s *evidence.Sample) int64 {
		if what == "anonymous" {
			return s.Anon
		}
		return s.RSS
	}
	most := int64(0)
	for _, s := range good {
		most = max(most, value(s.v)-value(good[0].v))
	}
	return float64(most) / mib
}
