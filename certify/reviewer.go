package certify

import (
	"context"
	"errors"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/certify/client"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/quality"
)

const (
	reviewTokens  = 300 // of an opinion, which is one short JSON object
	reviewTimeout = 2 * time.Minute
)

// reviewer asks another server's model for its opinion on answers. It is asked after a phase, never during load.
type reviewer struct {
	client *client.Client
	model  string
}

// newReviewer asks the reviewer for its models before the run, so that a missing reviewer is an error before the load.
func newReviewer(ctx context.Context, o Options) (*reviewer, error) {
	if o.ReviewerURL == "" {
		return nil, nil
	}
	root, err := client.Root(o.ReviewerURL)
	if err != nil {
		return nil, err
	}
	j := &reviewer{client: client.NewRemote(root, o.ReviewerKey), model: o.ReviewerModel}
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

func (r *reviewer) close() {
	if r != nil {
		r.client.Close()
	}
}

// ask sends one prompt, at temperature 0.
func (r *reviewer) ask(ctx context.Context, system, user string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, reviewTimeout)
	defer cancel()
	zero := 0.0
	q := openai.ChatRequest{Messages: []openai.Message{{Role: "system", Content: system},
		{Role: "user", Content: user}}}
	q.Model, q.MaxTokens, q.Temperature = r.model, reviewTokens, &zero
	answer, err := r.client.Chat(ctx, q)
	switch {
	case err != nil:
		return "", err
	case len(answer.Choices) == 0:
		return "", errors.New("the answer has no choices")
	}
	return answer.Choices[0].Message.Text(), nil
}

// review adds the reviewer's opinion to a score, or the reason why there is none. A nil reviewer adds nothing.
func (r *reviewer) review(ctx context.Context, in quality.Input, s *evidence.Score) {
	if r == nil || ctx.Err() != nil {
		return
	}
	v, err := quality.Review(ctx, r.ask, in)
	if err != nil {
		s.ReviewErr = err.Error()
		return
	}
	opinion := v.Score()
	s.Review = &opinion
}
