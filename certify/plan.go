package certify

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/noun"
	"github.com/hxp-enterprise/mixtral/internal/base/whole"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/judge"
	"github.com/hxp-enterprise/mixtral/internal/certify/probe"
	"github.com/hxp-enterprise/mixtral/internal/certify/traffic"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// plan is what a run will do: the checked options with their defaults, the case, and the phases of its profile.
type plan struct {
	o      Options
	loaded *testcases.Loaded
	c      *testcases.Case // the same as loaded.Case
	phases testcases.Phases

	against *evidence.Against       // the earlier run; nil: none
	sources map[int]*traffic.Source // for the phases with their own traffic, by their index
	tasks   map[int]*task           // for the phases with graded answers, by their index
}

// newPlan checks everything that can be checked without a server.
func newPlan(o Options) (*plan, error) {
	switch {
	case o.Target == "" && o.Launch == nil:
		return nil, fmt.Errorf("%w: give either Target or Launch", ErrOptions)
	case o.Case != "" && o.Loaded != nil:
		return nil, fmt.Errorf("%w: give either Case or Loaded, not both", ErrOptions)
	case o.MetricsURL != "" && o.PrometheusURL != "":
		return nil, fmt.Errorf("%w: give either a metrics URL or a Prometheus URL, not both", ErrOptions)
	case o.PID != 0 && o.Cgroup != "":
		return nil, fmt.Errorf("%w: give either a process or a control group, not both", ErrOptions)
	case o.PID < 0:
		return nil, fmt.Errorf("%w: process: must be a positive number, got %d", ErrOptions, o.PID)
	}
	if o.MetricsURL != "" {
		if _, err := probe.ParseMetricsURLs(o.MetricsURL); err != nil {
			return nil, fmt.Errorf("%w: metrics URL: %w", ErrOptions, err)
		}
	}
	for name, address := range map[string]string{"Prometheus": o.PrometheusURL, "tracing": o.TracingURL} {
		if u, err := url.Parse(address); address != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" ||
			u.Host == "") {
			return nil, fmt.Errorf("%w: %s URL: must begin with http:// or https:// and name a host, got %q",
				ErrOptions, name, address)
		}
	}
	loaded, err := o.load()
	if err != nil {
		return nil, err
	}
	if o.Sweep != "" {
		o.Profile = testcases.SweepProfile
	}
	if err := errors.Join(o.addExtras(loaded.Case), o.addGPUs(loaded.Case)); err != nil {
		return nil, err
	}
	if o.Profile == "" {
		o.Profile = DefaultProfile
	}
	phases, ok := loaded.Case.Profiles[o.Profile]
	if !ok {
		var names []string
		for name := range loaded.Case.Profiles {
			names = append(names, name)
		}
		slices.Sort(names)
		return nil, fmt.Errorf("%w: unknown profile %[3]q; profiles of %[2]s: %[4]s", ErrOptions,
			loaded.Case.ID, o.Profile,
			strings.Join(names, ", "))
	}
	if err := o.checkGenerators(phases); err != nil {
		return nil, err
	}
	if o.ReportDir == "" {
		o.ReportDir = DefaultReportDir
	}
	if err := writable(o.ReportDir); err != nil {
		return nil, fmt.Errorf("%w: report directory: %w", ErrOptions, err)
	}
	if o.Seed == 0 {
		o.Seed = rand.Int64N(1<<31-1) + 1
	}
	if o.Monitor == nil {
		o.Monitor = NewMonitor()
	}
	p := &plan{o: o, loaded: loaded, c: loaded.Case, phases: phases}
	if o.Against != nil {
		if p.against, err = o.Against.read(); err != nil {
			return nil, err
		}
	}
	return p, p.readTraffic()
}

// load reads the case, or copies Options.Loaded, and applies the overrides.
func (o *Options) load() (*testcases.Loaded, error) {
	if o.Loaded == nil {
		loaded, err := testcases.Load(o.Case)
		if err != nil {
			return nil, err
		}
		return o.override(loaded)
	}
	loaded, err := o.Loaded.Clone()
	if err != nil {
		return nil, err
	}
	return o.override(loaded)
}

// writable makes the directory if needed, and creates and removes a file in it. So the run fails before a model is
// loaded if its report could not be written. It also removes what killed runs have left there.
func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	whole.Sweep(dir)
	evidence.Sweep(dir)
	// the next run removes a file of this name if this one is killed
	f, err := os.CreateTemp(dir, ".writable.mixtral-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// expected is the least time that a phase takes, for a progress bar.
func (p *plan) expected(ph testcases.Phase) time.Duration { return seconds(p.c.Least(ph)) }

// least is the least time that the profile takes.
func (p *plan) least() (d time.Duration) {
	for _, ph := range p.phases {
		d += p.expected(ph)
	}
	return d
}

// calibratedRate is the highest rate, in requests/s, at which the client is calibrated for a sweep. A sweep's range
// may end far above what any server reaches, and each step checks again whether the client was on time.
const calibratedRate = 500

// highestRate is the highest rate of arrivals in a phase of the profile, in requests/s; 0 if no phase is open-loop.
func (p *plan) highestRate() (rps float64) {
	for _, ph := range p.phases {
		if ph.Kind == testcases.KindOpen {
			rps = max(rps, p.c.Rate(ph))
		} else if ph.Kind == testcases.KindSweep && ph.Sweep.Over == testcases.OverRate {
			rps = max(rps, min(ph.Sweep.To, calibratedRate))
		}
	}
	return rps
}

// Arithmetic explains, before anything is run, what the targets imply together and what the phases of a profile demand
// of a server. prompts is the number of prompts in the case.
func Arithmetic(c *testcases.Case, profile string, prompts int) string {
	var b strings.Builder
	if s := judge.Arithmetic(c); s != "" {
		b.WriteString(strings.ReplaceAll(s, ". ", ".\n") + "\n")
	}
	least := 0.0
	for _, ph := range c.Profiles[profile] {
		fmt.Fprintf(&b, "  %-20s ", ph.ID)
		n := max(ph.Requests, 0)
		most := fmt.Sprintf("at most %d tokens each", c.MaxTokens(ph))
		if ph.Traffic != nil && ph.Traffic.Output != nil {
			most = "answers of up to " + lengthText(ph.Traffic.Output)
			if ph.Traffic.IgnoresEnd() {
				most = "answers of exactly " + lengthText(ph.Traffic.Output)
			}
		}
		switch ph.Kind {
		case testcases.KindOpen:
			b.WriteString(openText(c, ph, most))
		case testcases.KindBatch:
			fmt.Fprintf(&b, "%s at once, %s", noun.Of(n, "request", "requests"), most)
		case testcases.KindSweep:
			b.WriteString(sweepText(c, ph))
		case testcases.KindIdle:
			fmt.Fprintf(&b, "no load for %s s", short(ph.DurationS))
		case testcases.KindAudit:
			b.WriteString("is the server honest?")
		case testcases.KindQuality:
			if n == 0 {
				n = prompts
			}
			fmt.Fprintf(&b, "%s to score, %d in flight, %s", noun.Of(n, "answer", "answers"), c.InFlight(ph), most)
		default:
			least := fmt.Sprintf("at least %d requests and %s s", n, short(ph.DurationS))
			if n == 0 && ph.DurationS == 0 {
				least = "each question once"
			}
			fmt.Fprintf(&b, "%d in flight, %s, %s", c.InFlight(ph), least, most)
		}
		if ph.Kind != testcases.KindSweep {
			b.WriteString(askedText(ph))
		}
		b.WriteByte('\n')
		least += ph.DurationS
	}
	fmt.Fprintf(&b, "  at least %s in all", seconds(least).Round(time.Second))
	return b.String()
}

// openText describes the load of an open-loop phase.
func openText(c *testcases.Case, ph testcases.Phase, most string) string {
	if s := stagesText(ph); s != "" {
		return s
	}
	rate := c.Rate(ph)
	text := fmt.Sprintf("%s %s for %s s, %s", short(rate), arrivalsText(ph), short(ph.DurationS), most)
	if !ph.Traffic.Talks() && (ph.Traffic == nil || ph.Traffic.Output == nil) {
		text += fmt.Sprintf(": %s output tokens/s", short(rate*float64(c.MaxTokens(ph))))
	}
	return text
}

// short formats a number with at most four digits.
func short(x float64) string { return fmt.Sprintf("%.4g", x) }

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
