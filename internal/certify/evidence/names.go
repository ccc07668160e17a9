package evidence

import (
	"fmt"
	"strings"
)

// TargetKind says who started the server under test.
type TargetKind string

// Kinds of target.
const (
	TargetEmbedded TargetKind = "embedded" // the run started the server
	TargetURL      TargetKind = "url"      // the server was running before
)

// Failure is the class of a request's failure; empty if the request was answered.
type Failure string

// Classes of failure.
const (
	FailConnect Failure = "connect" // no connection, or it was reset before a response
	FailTimeout Failure = "timeout" // no end within the limit
	FailStatus  Failure = "status"  // HTTP status other than 2xx
	// the answer violates the API: broken JSON, no choices, a stream without [DONE]
	FailProtocol  Failure = "protocol"
	FailTruncated Failure = "truncated" // the stream broke off
	FailEmpty     Failure = "empty"     // the answer has no content at all
	FailCanceled  Failure = "canceled"  // the run was interrupted; the request is not counted
	FailThinking  Failure = "thinking"  // only reasoning came until max_tokens: the case's limit, not the server
	FailClient    Failure = "client"    // this client had no file descriptor, port or memory left
	// refused as longer than the model's context: a fault of the case, not the server
	FailTooLong Failure = "too_long"
	// a content filter withheld the answer, which says nothing about speed or honesty
	FailFiltered Failure = "filtered"
)

// Blameless says whether failures of this class are not the server's fault.
func (f Failure) Blameless() bool {
	return f == FailThinking || f == FailClient || f == FailFiltered || f == FailTooLong
}

// ScrapeLabel says when a scrape was made: ScrapeStart, or a place relative to a phase such as "before sustained".
type ScrapeLabel string

// ScrapeStart is the first scrape of a run, before any phase.
const ScrapeStart ScrapeLabel = "start"

// ScrapePlace is the place of a scrape relative to a phase.
type ScrapePlace string

// Places of scrapes.
const (
	ScrapeBefore ScrapePlace = "before"
	ScrapeDuring ScrapePlace = "during"
	ScrapeAfter  ScrapePlace = "after"
	ScrapeIdle   ScrapePlace = "idle" // during a phase without load
)

// Of returns the label of a scrape at this place of a phase.
func (p ScrapePlace) Of(phase string) ScrapeLabel { return ScrapeLabel(string(p) + " " + phase) }

// At returns the phase of the label. ok is false if the label is not about place p.
func (l ScrapeLabel) At(p ScrapePlace) (phase string, ok bool) {
	return strings.CutPrefix(string(l), string(p)+" ")
}

// ConditionID names a precondition.
type ConditionID string

// Preconditions, in the order in which they are checked.
const (
	ConditionReady       ConditionID = "ready"       // the server answers requests
	ConditionModel       ConditionID = "model"       // the model answers a prompt
	ConditionLengths     ConditionID = "lengths"     // the case's prompts and answers fit the model's context
	ConditionPrompts     ConditionID = "prompts"     // the prompts are the ones that the case names
	ConditionMetrics     ConditionID = "metrics"     // the metrics can be read
	ConditionResources   ConditionID = "resources"   // memory and CPU can be read
	ConditionEnvironment ConditionID = "environment" // this machine has enough cores and memory
	ConditionClient      ConditionID = "client"      // the load generator's own error is small enough
	ConditionLimits      ConditionID = "limits"      // this machine has enough file descriptors and ports for the load
	ConditionBaseline    ConditionID = "baseline"    // the warm-up was answered
)

// AuditID names an audit, which is a test of the server's honesty.
type AuditID string

// Audits, in the order in which they are made.
const (
	AuditCache        AuditID = "cache"             // a repeated prompt is computed again
	AuditUsage        AuditID = "usage"             // usage counts the tokens that were sent
	AuditEmptyFirst   AuditID = "empty-first-token" // no empty chunk is sent early that looks like a first token
	AuditMaxTokens    AuditID = "max-tokens"        // max_tokens is kept
	AuditFinishReason AuditID = "finish-reason"     // finish_reason is true
	AuditDeterminism  AuditID = "determinism"       // the answer is the same at temperature 0; reported only
)

// HostServer says where the server is, as seen from the machine of a Host event.
type HostServer string

// Places of the server.
const (
	HostServerCounted HostServer = "counted"   // on this machine, and Own counts it
	HostServerRemote  HostServer = "elsewhere" // on another machine
	// on this machine, but its processes are not known, so its CPU time cannot be told from that of other programs
	HostServerUnknown HostServer = "unknown"
)

// StepID is the id of the phase that is step n, from 1, of a sweep.
func StepID(sweep string, n int) string { return fmt.Sprintf("%s-%02d", sweep, n) }

// IsStep says whether the id of a phase is that of a step of a sweep.
func IsStep(id, sweep string) bool {
	n, ok := strings.CutPrefix(id, sweep+"-")
	return ok && n != "" && strings.Trim(n, "0123456789") == ""
}
