package remote

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// Protocol is the version of the protocol. Both sides must use the same.
const Protocol = 1

// Errors about generators match one of these.
var (
	ErrRefused  = errors.New("refused by the generator") // the generator runs, but does not take part
	ErrProtocol = errors.New("not the protocol of generators")
	ErrLost     = errors.New("generator lost")
)

// Kind says what a message is.
type Kind string

// Kinds of messages. From the coordinator: plan, check, prepare, start, stop, ping, bye; from a generator the others.
const (
	KindHello    Kind = "hello"    // the first message: who the generator is
	KindPlan     Kind = "plan"     // the plan of the run
	KindAccepted Kind = "accepted" // the generator takes part
	KindRefused  Kind = "refused"  // why the generator does not take part; the last message
	KindCheck    Kind = "check"    // check whether this machine can make the load
	KindChecked  Kind = "checked"  // the check is done, and its results have been sent as evidence
	KindPrepare  Kind = "prepare"  // prepare a phase
	KindPrepared Kind = "prepared"
	KindStart    Kind = "start"  // begin the phase at an instant of the generator's clock
	KindStatus   Kind = "status" // number of requests in flight
	KindStop     Kind = "stop"   // end the phase now
	KindDone     Kind = "done"   // the phase has ended, and all evidence of it has been sent
	KindPing     Kind = "ping"   // asks for the time of the generator's clock
	KindPong     Kind = "pong"
	KindBye      Kind = "bye" // the end of the session, from either side
)

// Message is one message. Only the fields for its kind are set.
type Message struct {
	Kind    Kind     `json:"kind"`
	Seq     int      `json:"seq,omitempty"`    // from prepare to done: the number of the phase, from 1
	Reason  string   `json:"reason,omitempty"` // refused, done and bye: the reason
	Hello   *Hello   `json:"hello,omitempty"`
	Plan    *Plan    `json:"plan,omitempty"`
	Prepare *Prepare `json:"prepare,omitempty"`
	// accepted: digest of the plan; prepared: digest of the part of the schedule
	Digest   string         `json:"digest,omitempty"`
	Start    int64          `json:"start_ns,omitempty"`
	InFlight int            `json:"in_flight,omitempty"`
	Part     *evidence.Part `json:"part,omitempty"` // done
	// done: as the generator ran it, by its own clock; nil if it had no part
	Phase *evidence.Phase `json:"phase,omitempty"`
	Ping  int             `json:"ping,omitempty"` // number of a ping, and of the pong that answers it
	Came  int64           `json:"came_ns,omitempty"`
	Left  int64           `json:"left_ns,omitempty"`
}

// Hello says who a generator is.
type Hello struct {
	Protocol    int               `json:"protocol"`
	Version     string            `json:"version"` // version of the program
	Environment map[string]string `json:"environment"`
}

// Plan has everything from which the requests of a run are made.
type Plan struct {
	Protocol int               `json:"protocol"`
	Version  string            `json:"version"`
	Run      string            `json:"run"` // random id of the run
	Index    int               `json:"index"`
	Of       int               `json:"of"`
	Case     []byte            `json:"case"` // the case in YAML, with all overrides
	Prompts  []byte            `json:"prompts"`
	Files    map[string][]byte `json:"files,omitempty"`
	Profile  string            `json:"profile"`
	Seed     int64             `json:"seed"`
	Target   Target            `json:"target"`
	// URL of the collector for traces of its requests; empty: none
	Tracing string `json:"tracing,omitempty"`
}

// Target says how to reach the server under test, and which form of requests it accepts.
type Target struct {
	URL     string             `json:"url"`
	Model   string             `json:"model"`
	Key     string             `json:"key,omitempty"`
	Header  http.Header        `json:"header,omitempty"`
	Query   url.Values         `json:"query,omitempty"`
	Route   string             `json:"route,omitempty"`
	HTTP2   bool               `json:"http2,omitempty"`
	LeftOut []evidence.LeftOut `json:"left_out,omitempty"`
	// tokens per word of generated texts, by the server's tokenizer
	PerWord float64 `json:"per_word,omitempty"`
}

// Prepare says which load is next: a phase of the case, or one round or step of a phase.
type Prepare struct {
	Index       int             `json:"index"` // index of the phase in the profile
	Phase       testcases.Phase `json:"phase"`
	From        int             `json:"from"` // number of its first request
	Requests    int             `json:"requests"`
	MinDuration time.Duration   `json:"min_ns"`
	MaxDuration time.Duration   `json:"max_ns"`
}

// Bounds of what is accepted from the other side, in bytes.
const (
	maxGreeting = 4 << 10   // before the proof of the key
	maxMessage  = 64 << 10  // a message of a generator, other than evidence
	maxPlan     = 128 << 20 // a plan, which may contain traffic files
	maxEvidence = evidence.MaxLine + flushBytes

	maxReason = 1000 // bytes of a reason that are kept
)

// encode writes a message. A Message can always be written as JSON.
func encode(m *Message) []byte {
	data, err := json.Marshal(m)
	if err != nil {
		panic("remote: " + err.Error())
	}
	return data
}

// decode reads a message.
func decode(data []byte) (*Message, error) {
	var m Message
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	if len(m.Reason) > maxReason {
		m.Reason = m.Reason[:maxReason]
	}
	return &m, nil
}
