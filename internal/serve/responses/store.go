package responses

import (
	"container/list"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/hxp-enterprise/mixtral/internal/serve/body"
)

// ErrNotFound is matched when there is no response with the id.
var ErrNotFound = errors.New("no such response")

// Record is a stored response.
type Record struct {
	ID       string            `json:"id"`
	Previous string            `json:"previous,omitempty"` // the response that it continues
	Created  int64             `json:"created"`            // Unix seconds
	Input    []json.RawMessage `json:"input"`              // items, with ids
	Output   []json.RawMessage `json:"output"`             // items
	Response json.RawMessage   `json:"response"`           // as it was sent
}

// Store keeps responses. Each belongs to the name of an API key, and can be read with no other.
type Store interface {
	Put(ctx context.Context, owner string, r *Record) error
	Get(ctx context.Context, owner, id string) (*Record, error) // errors match ErrNotFound
	Delete(ctx context.Context, owner, id string) error         // errors match ErrNotFound
}

// Record returns what is stored of an answer that has ended.
func (a *Answer) Record(q *Request) *Record {
	r := &Record{ID: a.id, Previous: q.Previous, Created: a.created, Output: a.output(), Response: a.Object()}
	for i, v := range q.Items {
		r.Input = append(r.Input, withID(v, fmt.Sprintf("in_%s_%d", a.name(), i)))
	}
	return r
}

// withID gives an item an id if it has none, and a message its type.
func withID(v json.RawMessage, id string) json.RawMessage {
	o, err := body.Parse(v)
	if err != nil {
		return v
	}
	for name, value := range map[string]string{"id": id, "type": "message"} {
		if old := o.Fields[name]; old == nil || string(old) == "null" {
			o.Fields[name] = json.RawMessage(`"` + value + `"`)
		}
	}
	data, err := json.Marshal(o.Fields)
	if err != nil {
		return v
	}
	return data
}

// maxChain bounds how many responses may continue each other.
const maxChain = 256

// History returns the items of a response and of all those before it, in their order. Errors are *body.Error.
func History(ctx context.Context, s Store, owner, id string) ([]json.RawMessage, error) {
	const field = "previous_response_id"
	if s == nil {
		return nil, errOff(field)
	}
	var chain []*Record
	for next := id; next != ""; {
		if len(chain) == maxChain {
			return nil, body.Bad(field, "has more than %d responses before it", maxChain)
		}
		r, err := s.Get(ctx, owner, next)
		if errors.Is(err, ErrNotFound) {
			return nil, &body.Error{Param: field, Code: "previous_response_not_found", Quotes: true,
				Message: fmt.Sprintf("%s: no response %q is kept here", field, body.Short(next))}
		} else if err != nil {
			return nil, err
		}
		chain, next = append(chain, r), r.Previous
	}
	var items []json.RawMessage
	for _, r := range slices.Backward(chain) {
		items = append(append(items, r.Input...), r.Output...)
	}
	return items, nil
}

// errOff says that responses are not stored.
func errOff(field string) error {
	return &body.Error{Param: field, Code: body.CodeUnsupported,
		Message: field + ": this service keeps no responses (response_store is none): " +
			"send the whole conversation in input"}
}

// Reference returns the item with an id.
func Reference(ctx context.Context, s Store, owner, id string) (json.RawMessage, error) {
	if s == nil {
		return nil, errors.New("this service keeps no items (response_store is none): send the item itself")
	}
	r, err := s.Get(ctx, owner, responseOf(id))
	if err == nil {
		for _, v := range slices.Concat(r.Output, r.Input) {
			var item struct{ ID string }
			if json.Unmarshal(v, &item) == nil && item.ID == id {
				return v, nil
			}
		}
	}
	if err == nil || errors.Is(err, ErrNotFound) {
		return nil, errors.New("no item with this id is kept here")
	}
	return nil, err
}

// Memory is a Store in the process's memory. It keeps the newest responses.
type Memory struct {
	mu    sync.Mutex
	limit int64 // bytes
	bytes int64
	order list.List // of *kept, the oldest first
	byID  map[[2]string]*list.Element
}

type kept struct {
	key  [2]string // owner, id
	data []byte
}

// NewMemory returns a Store that keeps at most so many bytes of responses.
func NewMemory(limit int64) *Memory {
	return &Memory{limit: limit, byID: map[[2]string]*list.Element{}}
}

// Put implements Store.
func (m *Memory) Put(_ context.Context, owner string, r *Record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	key := [2]string{owner, r.ID}
	m.drop(key)
	m.byID[key] = m.order.PushBack(&kept{key, data})
	m.bytes += int64(len(data))
	for m.bytes > m.limit {
		m.drop(m.order.Front().Value.(*kept).key)
	}
	return nil
}

// drop removes a response if it exists.
func (m *Memory) drop(key [2]string) bool {
	e, ok := m.byID[key]
	if !ok {
		return false
	}
	m.bytes -= int64(len(m.order.Remove(e).(*kept).data))
	delete(m.byID, key)
	return true
}

// Get implements Store.
func (m *Memory) Get(_ context.Context, owner, id string) (*Record, error) {
	m.mu.Lock()
	e, ok := m.byID[[2]string{owner, id}]
	m.mu.Unlock()
	if !ok {
		return nil, ErrNotFound
	}
	r := &Record{}
	return r, json.Unmarshal(e.Value.(*kept).data, r)
}

// Delete implements Store.
func (m *Memory) Delete(_ context.Context, owner, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.drop([2]string{owner, id}) {
		return ErrNotFound
	}
	return nil
}
