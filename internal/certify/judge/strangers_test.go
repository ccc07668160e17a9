package judge

import (
	"testing"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// books are the rows of a server with these counts, where the client counted 100 requests and 1,000 tokens.
func books(requests, latency, tokens float64) []report.Reconciled {
	row := func(id string, server, client float64) report.Reconciled {
		x := report.Reconciled{ID: id, Server: &server, Client: &client, Verdict: report.Pass}
		if server != client {
			x.Verdict = report.Fail
		}
		return x
	}
	return []report.Reconciled{row(evidence.MetricRequests, requests, 100), row("latency_count", latency, 100),
		row(evidence.MetricGenerationTokens, tokens, 1000)}
}

func TestSomebodyElsesTrafficIsNoLie(t *testing.T) {
	for name, tt := range map[string]struct {
		rows []report.Reconciled
		want bool
	}{
		"twice as much of all":         {books(200, 200, 2000), true},
		"a few of another length":      {books(103, 103, 1200), true},
		"tokens alone":                 {books(100, 100, 1030), false},
		"requests alone":               {books(150, 150, 1000), false},
		"histograms that disagree":     {books(200, 100, 2000), false},
		"less than the client's":       {books(98, 98, 980), false},
		"tokens out of all proportion": {books(101, 101, 3000), false},
		"equal":                        {books(100, 100, 1000), false},
	} {
		if got := foreign(tt.rows); got != tt.want {
			t.Errorf("%s: foreign is %v", name, got)
		}
	}
}

func TestTheCommonestReasonOfEachClass(t *testing.T) {
	var q []*request
	add := func(n int, f evidence.Failure, status int, detail string) {
		for range n {
			q = append(q, new(store).add(&evidence.Request{Fail: f, Status: status, Detail: detail}))
		}
	}
	add(1, evidence.FailStatus, 500, "status 500: no")
	add(2, evidence.FailStatus, 422, "status 422: request 8f3a-11: unknown field seed")
	add(2, evidence.FailStatus, 422, "status 422: request 77bc-09: unknown field seed")
	add(1, evidence.FailTimeout, 0, "")
	add(9, evidence.FailCanceled, 0, "stopped")
	got := reasonsOf(q)
	if len(got) != 2 || got[0].String() != "status 422: request 8f3a-11: unknown field seed (4 of 5)" ||
		got[1].String() != "timeout: no message (1 of 1)" {
		t.Errorf("%v", got)
	}
}
