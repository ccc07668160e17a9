package certify

import (
	"context"
	"fmt"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/noun"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/quality"
)

// lastScores is how long answers are scored after the run was stopped.
const lastScores = 300 * time.Millisecond

// score scores the texts that the phase kept. It runs after the phase, because scoring would take CPU time from the
// load.
func (p *phaseRun) score(ctx context.Context) {
	begun := time.Now()
	for i, q := range p.texts {
		if ctx.Err() != nil && time.Since(begun) > lastScores {
			p.r.progress.note(fmt.Sprintf("%d of %s not scored", len(p.texts)-i,
				noun.Of(len(p.texts), "answer is", "answers are")))
			return
		}
		prompt, _ := p.r.plan.loaded.Prompts.ByKey(q.Prompt)
		in := quality.Input{Prompt: prompt.Text, Response: q.Text, Finish: q.Ended(), Rubric: prompt.Rubric}
		res := quality.Score(in)
		s := &evidence.Score{Phase: q.Phase, N: q.N, Prompt: q.Prompt, Score: res.Score, Relevance: res.Relevance,
			Coherence: res.Coherence, Completeness: res.Completeness, Why: why(res)}
		p.r.reviewer.review(ctx, in, s)
		p.r.record.add(evidence.Event{Score: s})
		p.r.progress.monitor.RecordQuality(q.Prompt, s.Score)
	}
}

// why lists what lowered an answer's score, at most three things.
func why(res quality.Result) []string {
	var out []string
	for _, part := range res.Parts {
		if part.Value < quality.Threshold && len(out) < 3 {
			out = append(out, fmt.Sprintf("%s %.2f: %s", part.Name, part.Value, part.Why))
		}
	}
	return out
}

// calibration measures how well the scores tell good answers from bad ones, on the half of the data that they were not
// tuned on.
func calibration() *evidence.Calibration {
	half := quality.Calibration().HeldOut
	c := &evidence.Calibration{AUC: half.AUC.Value, FalsePass: half.FalsePass.Value, FalseFail: half.FalseFail.Value,
		Threshold: quality.Threshold, Good: half.Good, Bad: half.Bad, PerFault: map[string]float64{}}
	for _, k := range half.Corruptions {
		c.PerFault[k.Kind] = k.AUC.Value
	}
	return c
}
