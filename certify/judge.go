package certify

import (
	"context"
	"errors"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/target"
	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/quality"
)

const (
	judgeTokens  = 300 // a verdict is one short JSON object
	judgeTimeout = 2 * time.Minute
)

// judgeClient asks another server's model for its opinion on answers. It is asked after a phase, never beside load.
type judgeClient struct {
	client *target.Client
	model  string
}

// newJudge meets the judge before the run: one that is not there must not come to light after half an hour.
func newJudge(ctx context.Context, o Options) (*judgeClient, error) {
	if o.JudgeURL == "" {
		return nil, nil
	}
	root, err := target.Root(o.JudgeURL)
	if err != nil {
		return nil, err
	}
	j := &judgeClient{client: target.NewRemoteClient(root, o.JudgeKey), model: o.JudgeModel}
	models, err := j.client.Models(ctx)
	if err != nil {
		j.close()
		return nil, err
	}
	if j.model == "" {
		j.model = models[0].ID
	}
	return j, nil
}

func (j *judgeClient) close() {
	if j != nil {
		j.client.Close()
	}
}

// ask sends one prompt, at temperature 0.
func (j *judgeClient) ask(ctx context.Context, system, user string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, judgeTimeout)
	defer cancel()
	zero := 0.0
	r := openai.ChatRequest{Messages: []openai.Message{{Role: "system", Content: system},
		{Role: "user", Content: user}}}
	r.Model, r.MaxTokens, r.Temperature = j.model, judgeTokens, &zero
	answer, err := j.client.Chat(ctx, r)
	switch {
	case err != nil:
		return "", err
	case len(answer.Choices) == 0:
		return "", errors.New("an answer without choices")
	}
	return answer.Choices[0].Message.Content, nil
}

// judge adds the judge's opinion to a score, or why there is none.
func (r *runner) judge(ctx context.Context, in quality.Input, s *evidence.Score) {
	if r.judges == nil || ctx.Err() != nil {
		return
	}
	v, err := quality.Judge(ctx, r.judges.ask, in)
	if err != nil {
		s.JudgeErr = err.Error()
		return
	}
	opinion := v.Score()
	s.Judge = &opinion
}
