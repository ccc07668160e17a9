package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/internal/base/noun"
)

// certifyProgress shows the progress of a run: a bar for the present phase on a terminal, plain lines elsewhere.
type certifyProgress struct {
	w        io.Writer
	terminal bool
	bars     *mpb.Progress
	bar      *mpb.Bar
	latest   atomic.Pointer[string] // the text beside the bar; mpb reads it when it draws
	next     time.Time              // of the next plain line within a phase
}

// certifyEvery is the time between plain lines of one phase, so that the log of a long run stays short.
const certifyEvery = 15 * time.Second

// barTotal is the resolution of a bar.
const barTotal = 1000

func newCertifyProgress(w io.Writer) *certifyProgress {
	return &certifyProgress{w: w, terminal: isTerminal(w)}
}

// event shows one event of the run.
func (p *certifyProgress) event(e certify.Event) {
	switch e.Kind {
	case certify.EventPlan:
		fmt.Fprintf(p.w, "%s\n", e.Text)
	case certify.EventCondition:
		mark := "ok  "
		if !e.OK {
			mark = "lost"
		}
		p.line("%s %s", mark, e.Text)
	case certify.EventStart:
		p.start(e)
	case certify.EventProgress:
		p.progress(e)
	case certify.EventEnd:
		p.stop()
		fmt.Fprintf(p.w, "[%d/%d] %-19s %s\n", e.Index, e.Phases, e.Phase.ID, e.Text)
	case certify.EventNote:
		p.line("note %s", e.Text)
	}
}

// line prints a line, above the bar if there is one.
func (p *certifyProgress) line(format string, args ...any) {
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "\n     ") + "\n"
	if p.bars != nil {
		_, _ = p.bars.Write([]byte(visible(text))) // errors of standard error cannot be reported
		return
	}
	fmt.Fprint(p.w, text)
}

func (p *certifyProgress) start(e certify.Event) {
	p.next = time.Now().Add(certifyEvery)
	if !p.terminal {
		return
	}
	p.say("")
	p.bars = mpb.New(mpb.WithOutput(raw(p.w)), mpb.WithWidth(36))
	p.bar = p.bars.AddBar(barTotal, mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name(visible(fmt.Sprintf("[%d/%d] %-19s ", e.Index, e.Phases, e.Phase.ID)))),
		mpb.AppendDecorators(decor.Percentage(), decor.Any(func(decor.Statistics) string {
			return " " +
				*p.latest.Load()
		})))
}

func (p *certifyProgress) say(text string) {
	text = visible(text)
	p.latest.Store(&text)
}

func (p *certifyProgress) progress(e certify.Event) {
	text := fmt.Sprintf("%s, %d in flight", noun.Of(e.Done, "request", "requests"), e.InFlight)
	if e.Failed > 0 {
		text += fmt.Sprintf(", %d failed", e.Failed)
	}
	if !math.IsNaN(e.Summary.AvgLatencyMS) {
		if s, ok := e.Summary.Latency[e.Phase.ID]; ok {
			text += fmt.Sprintf(", %.0f ms", s.Mean)
		}
	}
	switch {
	case p.bar != nil:
		p.say(text)
		p.bar.SetCurrent(int64(barTotal * share(e)))
	case time.Now().After(p.next):
		p.next = time.Now().Add(certifyEvery)
		fmt.Fprintf(p.w, "[%d/%d] %-19s %.0f %%: %s\n", e.Index, e.Phases, e.Phase.ID, 100*share(e), text)
	}
}

// share returns how much of a phase is done. A phase ends when it has both its requests and its time.
func share(e certify.Event) float64 {
	s := 0.99 // the rest is done only when the phase reports its end
	if e.Planned > 0 {
		s = min(s, float64(e.Done)/float64(e.Planned))
	}
	if e.Expected > 0 {
		s = min(s, float64(e.Elapsed)/float64(e.Expected))
	}
	return s
}

// stop removes the bar.
func (p *certifyProgress) stop() {
	if p.bar != nil {
		p.bar.Abort(true)
		p.bars.Wait()
		p.bar, p.bars = nil, nil
	}
}
