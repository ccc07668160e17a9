package certify

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/certify/client"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/loadgen"
)

// timeline is when the parts of a stream came, counted from the request; 0 where they did not.
type timeline struct {
	empty   time.Duration // the first chunk that has a content, and nothing in it
	content time.Duration // the first chunk with some
}

// timeline makes a streamed request by a client of its own, apart from the one that makes the load: it sees the chunks
// without content, which are nothing to that one.
func (a *auditor) timeline(ctx context.Context, text string, maxTokens int) (t timeline) {
	r := a.p.r
	q := evidence.Request{N: a.n, Prompt: a.key, Issued: r.record.since()}
	q.Scheduled = q.Issued
	a.n++
	bounded, cancel := context.WithTimeout(ctx, seconds(r.plan.c.Timeout(a.p.ph)))
	defer cancel()
	r.progress.inFlight.Add(1)
	err := a.follow(bounded, json.RawMessage(r.requests.body(text, maxTokens, 0, 1)), &q, &t)
	r.progress.inFlight.Add(-1)
	q.Done = r.record.since()
	if err != nil {
		q.Fail, q.Detail = loadgen.Classify(ctx, err, q.Status != 0), loadgen.Detail(err)
		if status := (*client.StatusError)(nil); errors.As(err, &status) {
			q.Status, q.Fail = status.Status, evidence.FailStatus
		}
	}
	a.p.sink(q)
	return t
}

// follow reads a stream to its end.
func (a *auditor) follow(ctx context.Context, body json.RawMessage, q *evidence.Request, t *timeline) error {
	resp, err := a.p.r.server.client.Send(ctx, http.MethodPost, "/v1/chat/completions", body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	q.Status = resp.StatusCode
	in := openai.NewReader(resp.Body, 0)
	for {
		e, err := in.Next()
		at := a.p.r.record.since()
		if errors.Is(err, io.EOF) || err == nil && e.Done() {
			return nil
		}
		if err != nil {
			return err
		}
		var c openai.ChatChunk
		if err := json.Unmarshal(e.Data, &c); err != nil {
			return err
		}
		note(c, at, q, t)
	}
}

func note(c openai.ChatChunk, at int64, q *evidence.Request, t *timeline) {
	for _, choice := range c.Choices {
		since := time.Duration(at - q.Issued)
		switch content := choice.Delta.Content; {
		case content != nil && *content != "":
			if t.content == 0 {
				t.content, q.First = since, at
			}
			q.Last = at
			q.Chunks++
			q.TextBytes += len(*content)
		case content != nil && t.empty == 0 && t.content == 0:
			t.empty = since
		}
		if choice.FinishReason != nil {
			q.Finish = *choice.FinishReason
		}
	}
	if u := c.Usage; u != nil {
		q.HasUsage, q.PromptTokens, q.OutputTokens = true, u.PromptTokens, u.CompletionTokens
	}
}
