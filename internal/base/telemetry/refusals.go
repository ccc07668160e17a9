package telemetry

// Reasons for refusing requests. All but three are the code in the answer's error: ReasonInvalid stands for an error
// without a code, whose message names a field; a service that is not ready uses the name of its state; ReasonUpstream
// is a refusal by an upstream server.
const (
	ReasonInvalid  = "invalid_request"
	ReasonUpstream = "upstream"
	ReasonOther    = "other" // none of the others: an error in this program
)

// Reason describes one value of the label.
type Reason struct {
	Name    string
	Status  int    // of the answer; 0: the upstream's
	Meaning string // and what to do about it
}

// Reasons are all values of Refused's label. Each is exported from the start, with 0.
var Reasons = []Reason{
	{"queue_full", 429, "`max_concurrent_requests` run and `max_queued_requests` wait, or too many large bodies are " +
		"being read. Add replicas, or raise the queue's limit and accept longer waits."},
	{"rate_limit_exceeded", 429, "The key has used its requests or tokens of this minute."},
	{"concurrency_limit_exceeded", 429, "The key has as many requests in progress as it may have."},
	{"too_many_connections", 503, "Requests are under way on as many connections as `max_connections` allows."},
	{"not_in_time", 503, "The request would have waited longer than its time limit allows."},
	{"starting", 503, "The model is still loading."},
	{"draining", 503, "The service is stopping. Clients still send requests: let the load balancer remove it before " +
		"it stops."},
	{"not_ready", 503, "No upstream server is available."},
	{"context_length_exceeded", 400, "The prompt is longer than the context."},
	{"request_too_large", 413, "The body is larger than 4 MiB."},
	{"request_timeout", 408, "The body did not come in time."},
	{"invalid_body", 400, "The body could not be read."},
	{"invalid_json", 400, "The body is not a JSON object."},
	{"unsupported_encoding", 415, "The body is compressed."},
	{ReasonInvalid, 400, "A field has a value that is not allowed."},
	{"invalid_grammar", 400, "A schema, regular expression or grammar is wrong, or is not supported."},
	{"unsupported_parameter", 400, "A field asks for a feature that this service does not have."},
	{"unknown_parameter", 400, "A field that no request has: a misspelling, or a field of another server. With " +
		"`unknown_fields: ignore` such fields are ignored."},
	{"not_supported", 501, "The backend does not support it."},
	{"model_not_found", 404, "No such model is served."},
	{"previous_response_not_found", 400, "The response that a request continues is not kept here, or not any " +
		"more."},
	{"response_not_found", 404, "The response that is asked for is not kept here, or not any more."},
	{"not_found", 404, "The route does not exist."},
	{"method_not_allowed", 405, "The route exists, but not with this method."},
	{"invalid_api_key", 401, "The API key is missing or unknown."},
	{"host_not_allowed", 403, "The Host header is not among `allowed_hosts`."},
	{"cross_origin", 403, "A web page of another site made the request."},
	{ReasonUpstream, 0, "An upstream server refused."},
	{ReasonOther, 0, "None of the above: a defect of the service."},
}

// Refused counts a request that was refused. A reason that is not among Reasons counts as ReasonOther, because it is a
// label.
func (m *Metrics) Refused(reason string) {
	c := m.refused[reason]
	if c == nil {
		c = m.refused[ReasonOther]
	}
	c.Inc()
}
