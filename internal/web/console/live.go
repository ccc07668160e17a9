package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/live"
)

// liveRegions are the parts of the page of a run, each with a template in live.html and an element with its id.
var liveRegions = []string{"head", "announce", "phases", "figures", "times", "charts", "sweeps", "checks",
	"conditions"}

// livePage is the page of a run that goes on.
type livePage struct {
	Name    string
	Regions []liveRegion
}

type liveRegion struct {
	ID   string
	HTML template.HTML
}

// liveView is the data of the regions' templates.
type liveView struct {
	live.View
	Word, Class string // the verdict, or a word in place of it
	Run         string // id of the report's run; empty: there is no report yet
	Problem     string
	Charts      []report.Chart
	Resources   []report.Chart
	Sweeps      []sweepOf
	Now         string // the phase under way
	Left        time.Duration
}

// firstPicture is how long a page waits for its run's first picture. What a page shows without one jumps when it
// comes.
const firstPicture = 5 * time.Second

// live shows a run. The page waits until the run has its first events.
func (k *Console) live(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	path, ok := k.recordPath(name)
	if !ok {
		k.say(w, r, http.StatusNotFound, "There is no such run", "The console knows no record called "+name+".")
		return
	}
	p := livePage{Name: name}
	pic := k.draw(live.New().View(), outcome{})
	if path != "" {
		watched, err := k.hub.join(path)
		if err != nil {
			k.say(w, r, http.StatusServiceUnavailable, "Too many pages", err.Error())
			return
		}
		defer k.hub.leave(watched)
		if seen, version, next := watched.look(); version > 0 {
			pic = seen
		} else {
			select {
			case <-next:
				pic, _, _ = watched.look()
			case <-time.After(firstPicture):
			case <-k.hub.ctx.Done(): // the console closes: nothing more comes
			case <-r.Context().Done():
				return
			}
		}
	}
	for _, id := range liveRegions {
		p.Regions = append(p.Regions, liveRegion{id, template.HTML(pic.Regions[id])}) // made by draw's own templates
	}
	at := ""
	if name == "current" {
		at = "/live/current"
	}
	k.show(w, r, http.StatusOK, "live", "Live", at, p)
}

// recordPath finds the record of a page; "current" is that of this process, and empty until it begins.
func (k *Console) recordPath(name string) (path string, ok bool) {
	if name == "current" && k.c.Current != nil {
		return k.c.Current(), true
	}
	return k.records.path(name)
}

const (
	// aliveEvery is how often a stream without news sends a sign of life, so that a client that has left is noticed.
	aliveEvery = 15 * time.Second
	lookEvery  = 200 * time.Millisecond
)

// stream sends the changed parts of a run's page as server-sent events. A browser that lost the connection gets all
// parts when it connects again.
func (k *Console) stream(w http.ResponseWriter, r *http.Request) {
	path, ok := k.recordPath(r.PathValue("name"))
	for ok && path == "" { // the run of this process has not begun
		select {
		case <-r.Context().Done():
			return
		case <-k.hub.ctx.Done():
			return
		case <-time.After(lookEvery):
			path = k.c.Current()
		}
	}
	if !ok {
		http.Error(w, "the console knows no such record", http.StatusNotFound)
		return
	}
	watched, err := k.hub.join(path)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer k.hub.leave(watched)
	sent := regions{}
	for events := newEvents(w); ; {
		pic, version, next := watched.look()
		if version > 0 {
			news := picture{Regions: regions{}, Final: pic.Final}
			for id, html := range pic.Regions {
				if have, ok := sent[id]; !ok || have != html {
					news.Regions[id], sent[id] = html, html
				}
			}
			if (len(news.Regions) > 0 || news.Final) && events.send(news) != nil || news.Final {
				return
			}
		}
		if !events.wait(r, k.hub, next) {
			return
		}
	}
}

// events is a stream of server-sent events.
type events struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func newEvents(w http.ResponseWriter) *events {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("X-Accel-Buffering", "no")
	e := &events{w, http.NewResponseController(w)}
	_ = e.control.SetReadDeadline(time.Time{}) // the request was read; its connection stays open
	fmt.Fprint(w, "retry: 1000\n\n")
	_ = e.control.Flush()
	return e
}

// sendWithin is how long a browser may take to receive an event.
const sendWithin = 20 * time.Second

func (e *events) send(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_ = e.control.SetWriteDeadline(time.Now().Add(sendWithin)) // a server without deadlines has local clients only
	if _, err := fmt.Fprintf(e.w, "data: %s\n\n", data); err != nil {
		return err
	}
	return e.control.Flush()
}

// wait waits for next; false: the stream has ended.
func (e *events) wait(r *http.Request, h *hub, next <-chan struct{}) bool {
	alive := time.NewTimer(aliveEvery)
	defer alive.Stop()
	for {
		select {
		case <-next:
			return true
		case <-r.Context().Done():
			return false
		case <-h.ctx.Done():
			return false
		case <-alive.C:
			_ = e.control.SetWriteDeadline(time.Now().Add(sendWithin))
			if _, err := fmt.Fprint(e.w, ": alive\n\n"); err != nil || e.control.Flush() != nil {
				return false
			}
			alive.Reset(aliveEvery)
		}
	}
}

// draw makes the regions of a view.
func (k *Console) draw(v live.View, out outcome) picture {
	x := liveView{View: v, Run: out.run, Problem: out.problem}
	x.Word, x.Class = word(v)
	if c := caseReport(v); c != nil {
		x.Charts = liveCharts(v, c)
	}
	if v.Judged != nil {
		for i, s := range v.Judged.Sweeps {
			x.Sweeps = append(x.Sweeps, sweepOf{s, report.SweepCharts(s, i)})
		}
	}
	for _, p := range v.Phases {
		if p.State == live.UnderWay {
			x.Now = p.ID
			x.Left += max(p.Least-p.Took, 0)
		} else if p.State == live.Planned {
			x.Left += p.Least
		}
	}
	pic := picture{Regions: regions{}}
	for _, id := range liveRegions {
		var b bytes.Buffer
		if err := k.pages["live"].ExecuteTemplate(&b, "live-"+id, x); err != nil {
			k.c.Log.Error("a part of a page could not be made", "part", id, "err", err)
			continue
		}
		pic.Regions[id] = strings.TrimSpace(b.String())
	}
	return pic
}

// liveCharts returns the plots of the page. They are the same at every moment: a plot without data is empty, so that
// nothing below it moves when data comes.
func liveCharts(v live.View, c *report.Report) (all []report.Chart) {
	var s report.PhaseSeries
	if v.Load != nil {
		s = v.Load.Series
	}
	all = append(all, report.LoadChart(s, c, 0), report.InFlightChart(s, 0))
	if len(s.TTFT) > 2 {
		all = append(all, report.TTFTChart(s, 0))
	} else {
		all = append(all, report.WaitingChart("ttft0", "Time to first token over time",
			"Time to first token: too few requests yet"))
	}
	resources := report.ResourceCharts(v.Series, c)
	if len(v.Series.Memory) < 2 {
		resources = slices.Insert(resources, 0, report.WaitingChart("mem", "Memory over the run",
			"Memory: "+unsampled(v)))
	}
	if len(v.Series.CPU) < 2 {
		resources = slices.Insert(resources, 1, report.WaitingChart("cpu", "CPU over the run",
			"CPU: "+unsampled(v)))
	}
	return append(all, resources...)
}

// unsampled says why there are no figures about the server's resources.
func unsampled(v live.View) string {
	switch {
	case v.Header != nil && v.Header.Target.Resources == "none":
		return "not observed"
	case v.End != nil || v.Stage == live.Killed:
		return "not sampled"
	}
	return "not sampled yet"
}

// loadNames are the names of the figures of a load phase.
func loadNames() []string { return []string{"Completed/s", "In flight", "Answered", "Output tokens/s"} }

// timesOf returns the times of a phase, or only their names if there are none yet.
func timesOf(l *live.Load) (out []live.Times) {
	if l != nil {
		return l.Times
	}
	for _, name := range live.TimeNames {
		out = append(out, live.Times{Name: name, Quantiles: make([]live.Quantile, 4)})
	}
	return out
}

// caseReport returns what charts need of a report while there is none: its targets and peaks.
func caseReport(v live.View) *report.Report {
	if v.Header == nil || v.Header.Case == nil {
		return nil
	}
	t := v.Header.Case.Targets
	return &report.Report{Targets: report.Targets{LatencyMS: t.LatencyMS, ThroughputRPS: t.ThroughputRPS,
		Quality: t.Quality, MemoryGB: t.MemoryGB, CPUCores: t.CPUCores},
		Resources: report.Resources{PeakGB: v.Resources.PeakGB, PeakCPU1s: v.Resources.PeakCores}}
}

// word returns the verdict, or a word in place of it, and its class.
func word(v live.View) (text, class string) {
	switch v.Stage {
	case live.Ended:
		return string(v.Status), strings.ToLower(string(v.Status))
	case live.Killed:
		return "NO VERDICT", "invalid"
	case live.Judging:
		return "JUDGING", "info"
	case live.Preparing:
		return "PREPARING", "info"
	}
	return "RUNNING", "info"
}

// quantileText writes a percentile with its interval.
func quantileText(q live.Quantile) string {
	return report.Number(q.Low) + " – " + report.Number(q.High)
}

// checkClass returns the class of a check's state.
func checkClass(s live.CheckState) string {
	switch s {
	case live.WouldPass, live.Passed:
		return "pass"
	case live.WouldFail, live.Failed:
		return "fail"
	case live.Unjudged:
		return "invalid"
	}
	return "info"
}
