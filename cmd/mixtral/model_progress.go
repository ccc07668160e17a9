package main

import (
	"fmt"
	"io"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// progress shows the progress of work on bytes: a bar on a terminal, elsewhere a line every few seconds, so that quick
// work prints nothing.
type progress struct {
	w     io.Writer
	name  string
	total int64
	from  int64 // done by an earlier run
	start time.Time
	next  time.Time // of the next line
	bars  *mpb.Progress
	bar   *mpb.Bar
}

const progressEvery = 5 * time.Second

func newProgress(w io.Writer, name string, total int64) *progress {
	p := &progress{w: w, name: name, total: total, start: time.Now(), next: time.Now().Add(progressEvery)}
	if isTerminal(w) && total > 0 {
		p.bars = mpb.New(mpb.WithOutput(raw(w)), mpb.WithWidth(40))
		p.bar = p.bars.AddBar(total, mpb.PrependDecorators(decor.Name(visible(name)+" ")),
			mpb.AppendDecorators(decor.CountersKiloByte("% .1f / % .1f "),
				decor.AverageSpeed(decor.SizeB1000(0), "% .1f "), decor.AverageETA(decor.ET_STYLE_GO)))
	}
	return p
}

// set sets how many bytes are done.
func (p *progress) set(done int64) {
	if p.bar != nil {
		p.bar.SetCurrent(done)
		return
	}
	if now := time.Now(); now.After(p.next) {
		p.next = now.Add(progressEvery)
		fmt.Fprintf(p.w, "%s: %.0f %% of %s%s\n", p.name, 100*float64(done)/float64(max(p.total, 1)), size(p.total),
			p.pace(now.Sub(p.start), done))
	}
}

// resume sets how much was done before this run, which does not count for the speed. Only the first call has an
// effect.
func (p *progress) resume(done int64) {
	if p.from == 0 && done > 0 {
		p.from = done
		if p.bar != nil {
			p.bar.SetRefill(done)
		}
	}
}

// pace returns the speed and the time left.
func (p *progress) pace(took time.Duration, done int64) string {
	rate := float64(done-p.from) / took.Seconds()
	if rate <= 0 || done >= p.total {
		return ""
	}
	left := time.Duration(float64(p.total-done) / rate * float64(time.Second))
	return fmt.Sprintf(", %s/s, %v left", size(int64(rate)), left.Round(time.Second))
}

// stop ends the bar, even if the work is not complete. A second stop does nothing.
func (p *progress) stop() {
	if p.bar != nil {
		p.bar.Abort(false)
		p.bars.Wait()
		p.bar = nil
	}
}
