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

// Protocol is the version of what is said here: both sides must speak the same.
const Protocol = 1

// What errors about generators match.
var (
	ErrRefused  = errors.New("refused by the generator") // it runs, and does not take part
	ErrProtocol = errors.New("not the protocol of generators")
	ErrLost     = errors.New("generator lost")
)

// Kind says what a message is.
type Kind string

// Kinds of messages. From the coordinator: plan, check, prepare, start, stop, ping, bye; from a generator the others.
const (
	KindHello    Kind = "hello"    // who the generator is: first
	KindPlan     Kind = "plan"     // what the run is about
	KindAccepted Kind = "accepted" // … and that the generator takes part
	KindRefused  Kind = "refused"  // why it does not; last
	KindCheck    Kind = "check"    // look whether you can make this load
	KindChecked  Kind = "checked"  // what was found has been sent as evidence
	KindPrepare  Kind = "prepare"  // get ready for a phase
	KindPrepared Kind = "prepared"
	KindStart    Kind = "start"  // begin the phase at an instant of your clock
	KindStatus   Kind = "status" // requests in flight
	KindStop     Kind = "stop"   // break the phase off
	KindDone     Kind = "done"   // the phase has ended, and all evidence of it has been sent
	KindPing     Kind = "ping"   // what does your clock show?
	KindPong     Kind = "pong"
	KindBye      Kind = "bye" // the end, from either side
)

// Message is what is said, one at a time. Only the fields of its kind are set.
type Message struct {
	Kind     Kind            `json:"kind"`
	Seq      int             `json:"seq,omitempty"`    // of prepare to done: the number of the phase, from 1
	Reason   string          `json:"reason,omitempty"` // of refused, done and bye
	Hello    *Hello          `json:"hello,omitempty"`
	Plan     *Plan           `json:"plan,omitempty"`
	Prepare  *Prepare        `json:"prepare,omitempty"`
	Digest   string          `json:"digest,omitempty"` // accepted: of the plan; prepared: of the part of the schedule
	Start    int64           `json:"start_ns,omitempty"`
	InFlight int             `json:"in_flight,omitempty"`
	Part     *evidence.Part  `json:"part,omitempty"`  // done
	Phase    *evidence.Phase `json:"phase,omitempty"` // done: as the generator ran it, by its clock; nil: it had no part
	Ping     int             `json:"ping,omitempty"`  // ping, and the pong that answers it
	Came     int64           `json:"came_ns,omitempty"`
	Left     int64           `json:"left_ns,omitempty"`
}

// Hello says who a generator is.
type Hello struct {
	Protocol    int               `json:"protocol"`
	Version     string            `json:"version"` // of the program
	Environment map[string]string `json:"environment"`
}

// Plan is everything that the requests of a run are made of.
type Plan struct {
	Protocol int               `json:"protocol"`
	Version  string            `json:"version"`
	Run      string            `json:"run"` // drawn for the run
	Index    int               `json:"index"`
	Of       int               `json:"of"`
	Case     []byte            `json:"case"` // YAML, with all overrides
	Prompts  []byte            `json:"prompts"`
	Files    map[string][]byte `json:"files,omitempty"`
	Profile  string            `json:"profile"`
	Seed     int64             `json:"seed"`
	Target   Target            `json:"target"`
	Tracing  string            `json:"tracing,omitempty"` // URL of the collector of its requests' traces; empty: none
}

// Target is how to reach the server under test, and in which form it takes requests.
type Target struct {
	URL     string             `json:"url"`
	Model   string             `json:"model"`
	Key     string             `json:"key,omitempty"`
	Header  http.Header        `json:"header,omitempty"`
	Query   url.Values         `json:"query,omitempty"`
	Route   string             `json:"route,omitempty"`
	HTTP2   bool               `json:"http2,omitempty"`
	LeftOut []evidence.LeftOut `json:"left_out,omitempty"`
	// tokens that the server's tokenizer makes of a word of made-up texts
	PerWord float64 `json:"per_word,omitempty"`
}

// Prepare says which load is next: a phase of the case, or a round or a step of one.
type Prepare struct {
	Index       int             `json:"index"` // of the phase in the profile
	Phase       testcases.Phase `json:"phase"`
	From        int             `json:"from"` // number of its first request
	Requests    int             `json:"requests"`
	MinDuration time.Duration   `json:"min_ns"`
	MaxDuration time.Duration   `json:"max_ns"`
}

// Bounds of what is taken from the other side, in bytes.
const (
	maxGreeting = 4 << 10   // before the key is proven
	maxMessage  = 64 << 10  // of a generator, beside evidence
	maxPlan     = 128 << 20 // of a coordinator: traffic files are most of it
	maxEvidence = evidence.MaxLine + flushBytes

	maxReason = 1000 // shown of the other side's words
)

// encode writes a message, which holds nothing that has no JSON.
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
