package loadgen

import (
	"net"
	"strconv"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// record creates the span of a request that has ended, from when it was sent to its last byte, with the ids that were
// sent to the server. Before that a traced request only costs the bytes of its header.
func (c *Client) record(epoch time.Time, q *request, r *evidence.Request) {
	s := c.o.Tracer.Record(q.trace, telemetry.OperationChat+" "+q.model, epoch.Add(time.Duration(r.Issued)))
	s.Text(telemetry.AttrOperation, telemetry.OperationChat)
	s.Text(telemetry.AttrRequestModel, q.model)
	s.Text(telemetry.AttrPhase, r.Phase)
	s.Text(telemetry.AttrPrompt, r.Prompt)
	host, port, _ := net.SplitHostPort(c.address)
	s.Text(telemetry.AttrServer, host)
	if n, err := strconv.Atoi(port); err == nil {
		s.Int(telemetry.AttrPort, n)
	}
	if r.First > 0 {
		s.Float(telemetry.AttrFirstChunk, time.Duration(r.First-r.Issued).Seconds())
	}
	if r.HasUsage {
		s.Int(telemetry.AttrInputTokens, r.PromptTokens)
		s.Int(telemetry.AttrOutputTokens, r.OutputTokens)
	}
	if r.Finish != "" {
		s.Texts(telemetry.AttrFinishReasons, r.Finish)
	}
	if r.Status > 0 {
		s.Int(telemetry.AttrStatus, r.Status)
	}
	if r.Fail != "" {
		s.Fail(string(r.Fail))
	}
	s.EndAt(epoch.Add(time.Duration(r.Done)))
}
