package judge

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/offset"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// run is the evidence of one run, sorted and joined with the case's plan.
type run struct {
	header     *evidence.Header
	c          *testcases.Case
	conditions []at[*evidence.Condition]
	clients    []at[*evidence.Client]
	phases     []*phase // the planned ones in their order, then any others that ran
	samples    []at[*evidence.Sample]
	scrapes    []at[*evidence.Scrape]
	scores     []*evidence.Score
	grades     []*evidence.Grade
	audits     []at[*evidence.Audit]
	clocks     []at[*evidence.Clock]
	hosts      []at[*evidence.Host]
	uses       []use // who used the machines, for each interval between two readings
	gpus       []at[*evidence.GPU]
	against    *evidence.Against // the earlier run; nil: none
	end        *evidence.End
	goesOn     bool // the record is still being written
	rows       []report.Reconciled
	leak       *leakFit
	problems   map[string]string // why the load cannot be trusted, by phase; the key "" is the whole run

	parts       []*evidence.Part // what each generator reported of a phase
	comparisons []*evidence.Comparison
	tracks      []*offset.Track // the generators' clocks, in the order of the generators' numbers
}

// at is a record with its time.
type at[T any] struct {
	ns int64
	v  T
}

// read sorts the events into a run and measures every phase.
func read(events []evidence.Event) (*run, error) {
	c := newCollector()
	for i := range events {
		if err := c.add(&events[i]); err != nil {
			return nil, err
		}
	}
	return c.run()
}

// sort gives every list an order that does not depend on the order of events in the file.
func (r *run) sort() {
	byTime(r.conditions)
	byTime(r.clients)
	byTime(r.samples)
	byTime(r.scrapes)
	byTime(r.audits)
	byTime(r.clocks)
	byTime(r.hosts)
	r.sortParts()
	slices.SortFunc(r.grades, func(a, b *evidence.Grade) int {
		return cmp.Or(cmp.Compare(a.Phase, b.Phase), cmp.Compare(a.N, b.N), compareContent(a, b))
	})
	byTime(r.gpus)
	slices.SortFunc(r.scores, func(a, b *evidence.Score) int {
		if c := cmp.Or(cmp.Compare(a.Phase, b.Phase), cmp.Compare(a.N, b.N)); c != 0 {
			return c
		}
		return compareContent(a, b)
	})
}

func byTime[T any](list []at[T]) {
	slices.SortFunc(list, func(a, b at[T]) int {
		if a.ns != b.ns {
			return cmp.Compare(a.ns, b.ns)
		}
		return compareContent(a.v, b.v)
	})
}

// compareContent orders records of the same time by their JSON.
func compareContent(a, b any) int {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	if errX != nil || errY != nil {
		return 0 // a record that cannot be marshaled cannot have been read either
	}
	return bytes.Compare(x, y)
}

// join gives every phase its record and its requests. Phases that ran without being planned come last.
func (r *run) join(ran map[string]*evidence.Phase, requests map[string][]*request) {
	add := func(plan testcases.Phase, planned bool) {
		p := &phase{plan: plan, planned: planned, ran: ran[plan.ID], requests: requests[plan.ID],
			rules: r.header.Rules, generators: len(r.header.Generators)}
		if p.ran != nil && p.ran.Step != nil {
			of, _ := r.c.Profiles[r.header.Profile].ByID(p.ran.Step.Of)
			p.asStep(r.c, of)
		}
		p.measure(r.c)
		r.phases = append(r.phases, p)
	}
	seen := map[string]bool{}
	for _, plan := range r.c.Profiles[r.header.Profile] {
		if !seen[plan.ID] {
			add(plan, true)
		}
		seen[plan.ID] = true
	}
	ids := map[string]bool{}
	for id := range ran {
		ids[id] = true
	}
	for id := range requests {
		ids[id] = true
	}
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		if !seen[id] {
			kind := testcases.Kind("")
			if ran[id] != nil {
				kind = ran[id].Kind
			}
			add(testcases.Phase{ID: id, Kind: kind}, false)
		}
	}
}

// byID finds a phase; nil if there is none.
func (r *run) byID(id string) *phase {
	for _, p := range r.phases {
		if p.plan.ID == id {
			return p
		}
	}
	return nil
}

// load lists the phases whose latencies are judged: closed and open loops. With an id it lists that phase only, of
// whatever kind it is.
func (r *run) load(id string) []*phase {
	var out []*phase
	for _, p := range r.phases {
		if id == p.plan.ID || id == "" && p.step == nil && p.plan.Kind.Loop() {
			out = append(out, p)
		}
	}
	return out
}

// sustainedPhase is the open loop from which throughput is read: the one that a throughput check names, or else the
// first that ran.
func (r *run) sustainedPhase() *phase {
	for i := range r.c.Checks {
		if c := &r.c.Checks[i]; c.Rule == testcases.RuleThroughput && c.Phase != "" {
			if p := r.byID(c.Phase); p != nil && p.ran != nil {
				return p
			}
		}
	}
	for _, p := range r.phases {
		if p.plan.Kind == testcases.KindOpen && p.ran != nil && p.step == nil {
			return p
		}
	}
	return nil
}

// conf is the confidence of every interval: that of the case, or 0.99.
func (r *run) conf() float64 { return confidence(r.c) }

func confidence(c *testcases.Case) float64 {
	if x := c.Limits.Confidence; x > 0 && x < 1 {
		return x
	}
	return 0.99
}

// value is the check's target: its own number, the number of the case that it names, or fallback.
func (r *run) value(c *testcases.Check, fallback float64) (float64, error) {
	if c.Limit > 0 {
		return c.Limit, nil
	}
	if c.Target == "" {
		if x := r.c.Limit(*c); x > 0 && c.Rule != testcases.RuleMeanLatency &&
			c.Rule != testcases.RulePercentileLatency {
			return x, nil
		}
		return fallback, nil
	}
	return r.c.Number(c.Target)
}

// notices list what a reader must know before reading the verdict.
func (r *run) notices() []string {
	n := []string{}
	t := r.header.Target
	switch {
	case r.header.Profile == testcases.SweepProfile:
		n = append(n, "A search for the knee: it says nothing of the case's other targets.")
	case r.header.Profile != "full":
		n = append(n, fmt.Sprintf("Profile %q: every phase is present but short. It finds faults; it is not a full "+
			"certificate.", r.header.Profile))
	}
	if t.BuiltIn {
		n = append(n, "The target serves the built-in model, a small one made for demonstration: its speed and "+
			"quality say nothing about Mixtral-8x7B.")
	}
	if t.Kind == evidence.TargetEmbedded && t.Resources == "self" {
		n = append(n, "The load generator runs inside the server's process: memory and CPU include its own.")
	}
	if r.end == nil {
		n = append(n, "The record has no end: the run was killed, or its file was cut.")
	} else if r.end.Interrupted {
		n = append(n, strings.TrimSuffix("The run was interrupted: "+orElse(r.end.Reason, "on request"), ".")+".")
	}
	if r.end != nil && r.end.Unanswered {
		n = append(n, "Nothing was measured: "+r.end.Reason+".")
	}
	n = append(n, r.generatorNotices()...)
	n = append(n, r.leftOut()...)
	if t.Protocol != "" {
		n = append(n, "The server does not speak HTTP/1.1, so the load speaks "+t.Protocol+": requests share "+
			"connections, and times are those at which this client read, not those of packets.")
	}
	n = append(n, r.cut()...)
	if several := r.tokensPerChunk(); several != "" && r.header.Rules >= 1 {
		n = append(n, several)
	}
	n = append(n, r.otherWords()...)
	if share := together(judgedOf(r.load(""))); share > mostTogether && r.header.Rules >= 3 {
		n = append(n, fmt.Sprintf("In %s of the answers the first chunks came at once: the server sends several at "+
			"a time, or a proxy before it holds streams back (nginx: proxy_buffering off). Times to the first token "+
			"and between tokens are those that a user sees, and not those of the model.", percent(share)))
	}
	if why := r.withoutMetrics(); why != "" && r.unread() == "" {
		n = append(n, "The server offers no metrics ("+why+"): what it says of itself could not be held against "+
			"what was seen.")
	}
	n = append(n, r.takenNotices()...)
	if r.header.Calibration == nil && len(r.scores) > 0 {
		n = append(n, "The quality scores come without a calibration.")
	}
	return n
}

// takenNotices say in which phases other programs took much of the machine. Several phases share one sentence.
func (r *run) takenNotices() []string {
	var all, brief []string
	for _, p := range r.load("") {
		why := r.taken(p)
		if why == "" {
			continue
		}
		all = append(all, strings.ToUpper(why[:1])+why[1:]+". What fails in it proves nothing.")
		length, _ := r.takenOf(p.from, p.to)
		brief = append(brief, fmt.Sprintf("%s (%s of %s s)", p.plan.ID, num(length), num(p.window())))
	}
	if len(all) < 2 || r.header.Rules < 2 {
		return all
	}
	return []string{"Other work took much of the machine during the phases " + strings.Join(brief[:len(brief)-1],
		", ") +
		" and " + brief[len(brief)-1] + ". What fails in them proves nothing; the phases say more."}
}

// environment describes the machine on which the certifier ran, and how its wall clock behaved.
func (r *run) environment() map[string]string {
	env := map[string]string{}
	for k, v := range r.header.Environment {
		env[k] = v
	}
	if len(r.clocks) > 0 {
		env["clock_drift"] = fmt.Sprintf("%s ms at most", num(ms(r.worstDrift(0))))
	}
	if s := r.machineUse(); s != "" {
		env["machine_use"] = s
	}
	env["resources"] = r.header.Target.Resources
	env["metrics"] = r.header.Target.Metrics
	return env
}

func (r *run) fingerprints() map[string]string {
	f := map[string]string{"seed": strconv.FormatInt(r.header.Seed, 10)}
	for k, v := range r.header.Fingerprints {
		f[k] = v
	}
	return f
}

// withoutMetrics says why no scrape of the server returned any metric; "" if one did, or if none was tried.
func (r *run) withoutMetrics() string {
	why := ""
	for _, s := range r.scrapes {
		if s.v.Err == "" && len(s.v.Values)+len(s.v.Histograms) > 0 {
			return ""
		}
		why = orElse(why, s.v.Err)
	}
	return why
}

// dialect is the metrics dialect of the first scrape that worked, such as "vllm"; "" if none did.
func (r *run) dialect() string {
	for _, s := range r.scrapes {
		if s.v.Err == "" && s.v.Dialect != "" {
			return s.v.Dialect
		}
	}
	return ""
}

// worstDrift is the largest drift of a machine's wall clock against its monotonic clock, in nanoseconds. Machine 0 is
// the certifier's; others have the number of their generator.
func (r *run) worstDrift(machine int) int64 {
	var worst int64
	for _, c := range r.clocks {
		d := c.v.DriftNS
		if c.v.Generator != machine {
			continue
		}
		if d < 0 {
			d = -d
		}
		worst = max(worst, d)
	}
	return worst
}
