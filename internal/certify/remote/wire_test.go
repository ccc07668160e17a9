package remote

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// FuzzFrame: whatever arrives on a connection is read within its bounds, or refused.
func FuzzFrame(f *testing.F) {
	f.Add(appendFrame(nil, frameMessage, encode(&Message{Kind: KindPing, Ping: 3})))
	f.Add(appendFrame(nil, frameEvidence, []byte("{}\n")))
	f.Add([]byte{frameMessage, 0xff, 0xff, 0xff, 0xff, 1})
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		r := bytes.NewReader(wire)
		for {
			x, err := readFrame(r, maxMessage)
			if err != nil {
				return
			}
			if len(x.data) > maxMessage {
				t.Fatalf("a frame of %d bytes", len(x.data))
			}
			if x.kind != frameMessage {
				continue
			}
			if m, err := decode(x.data); err == nil {
				again, err := decode(encode(m))
				if err != nil || again.Kind != m.Kind || len(m.Reason) > maxReason {
					t.Fatalf("%+v, %v", again, err)
				}
				c, g := newCoordinator(1, "v", 0), newGenerator(0)
				c.heardOf(0, 1, m)
				g.heardOf(1, m)
			}
		}
	})
}

func TestFramesThatAreTooLarge(t *testing.T) {
	big := appendFrame(nil, frameMessage, make([]byte, maxMessage+1))
	if _, err := readFrame(bytes.NewReader(big), maxMessage); !errors.Is(err, ErrProtocol) {
		t.Error(err)
	}
	if _, err := readFrame(strings.NewReader("GET / HTTP/1.1"), maxMessage); !errors.Is(err, ErrProtocol) {
		t.Error(err)
	}
}

// pair secures both ends of a connection.
func pair(t *testing.T, mine, theirs []byte) (near, far error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	own, err := ownCertificate()
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		raw, err := l.Accept()
		if err != nil {
			far = err
			return
		}
		defer raw.Close()
		_, far = accept(raw, own, theirs)
	})
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	_, near = connect(t.Context(), raw, "127.0.0.1", mine, nil)
	raw.Close()
	all.Wait()
	return near, far
}

// TestBothEndsProveTheKey: neither end accepts the other without its key, and the key itself is never sent.
func TestBothEndsProveTheKey(t *testing.T) {
	key := []byte("a key of sixteen")
	if near, far := pair(t, key, key); near != nil || far != nil {
		t.Error(near, far)
	}
	if near, far := pair(t, key, []byte("another of them!")); !errors.Is(near, ErrKey) || !errors.Is(far, ErrKey) {
		t.Error(near, far)
	}
	if near, far := pair(t, nil, key); !errors.Is(near, ErrKey) || !errors.Is(far, ErrKey) {
		t.Error(near, far)
	}
}

// TestNobodyStandsBetween: an attacker who accepts the connection and opens another one to the generator cannot pass
// on the proofs, because they are valid for one connection only.
func TestNobodyStandsBetween(t *testing.T) {
	key := []byte("a key of sixteen")
	own, err := ownCertificate()
	if err != nil {
		t.Fatal(err)
	}
	generator, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer generator.Close()
	between, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer between.Close()
	var all sync.WaitGroup
	var far error
	all.Go(func() {
		raw, err := generator.Accept()
		if err == nil {
			defer raw.Close()
			_, far = accept(raw, own, key)
		}
	})
	all.Go(func() {
		raw, err := between.Accept()
		if err != nil {
			return
		}
		defer raw.Close()
		relay(raw, generator.Addr().String())
	})
	raw, err := net.Dial("tcp", between.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := connect(t.Context(), raw, "127.0.0.1", key, nil); err == nil {
		t.Error("the coordinator takes the one between for the generator")
	}
	raw.Close()
	all.Wait()
	if !errors.Is(far, ErrKey) {
		t.Errorf("the generator takes the one between for the coordinator: %v", far)
	}
}

// TestEvidenceWaitsBehindMessages: the answer to a ping does not wait for evidence, and a message that must come last
// does.
func TestEvidenceWaitsBehindMessages(t *testing.T) {
	o := newOutbox()
	if err := o.evidence([]byte("1\n")); err != nil {
		t.Fatal(err)
	}
	o.sendLast(&Message{Kind: KindDone})
	o.send(&Message{Kind: KindPong})
	o.close()
	var order []string
	for b, ok := o.next(); ok; b, ok = o.next() {
		x, err := readFrame(bytes.NewReader(b), maxMessage)
		if err != nil {
			t.Fatal(err)
		}
		order = append(order, string(x.kind)+string(x.data))
	}
	if got := fmt.Sprint(order); got != `[m{"kind":"pong"} e1`+"\n"+` m{"kind":"done"}]` {
		t.Error(got)
	}
	full := newOutbox()
	for range mostWaits/len(make([]byte, 1<<20)) + 1 {
		if err := full.evidence(make([]byte, 1<<20)); err != nil {
			if !errors.Is(err, errSlow) {
				t.Error(err)
			}
			return
		}
	}
	t.Error("evidence waits without bound")
}

// TestWhatIsBeingSentIsNotSentYet: an outbox is not drained while its last frame is on its way, because whoever waits
// for that closes the connection then. It is when the frame was sent, or when the connection has failed.
func TestWhatIsBeingSentIsNotSentYet(t *testing.T) {
	o := newOutbox()
	o.send(&Message{Kind: KindBye})
	o.close()
	if _, ok := o.next(); !ok || o.drained() {
		t.Error("a frame that was only taken counts as sent")
	}
	if _, ok := o.next(); ok || !o.drained() {
		t.Error("a frame that was sent does not count as sent")
	}
	failed := newOutbox()
	failed.send(&Message{Kind: KindBye})
	near, far := net.Pipe()
	far.Close()
	if err := failed.write(near, time.Minute); err == nil || !failed.drained() {
		t.Errorf("a connection that has failed is still in use: %v", err)
	}
}

// TestDurationsStayAsTheyWere: all times of a request are moved by the same offset, times that did not happen stay 0,
// and an event waits for a later comparison.
func TestDurationsStayAsTheyWere(t *testing.T) {
	var got []evidence.Event
	f := NewFold(3, func(e evidence.Event) { got = append(got, e) })
	compare := func(there, offset int64) {
		if err := f.Compare(&evidence.Comparison{There: there, Offset: offset, Error: 10}); err != nil {
			t.Fatal(err)
		}
	}
	compare(0, 1_000_000)
	f.Add(evidence.Event{At: 900, Request: &evidence.Request{Scheduled: 500, Issued: 600, First: 700, Last: 850,
		Done: 900}})
	if len(got) != 0 {
		t.Error("an event did not wait for the comparison after it")
	}
	compare(int64(time.Second), 1_000_100)
	if len(got) != 1 {
		t.Fatal("the event still waits")
	}
	q := got[0].Request
	if q.Generator != 3 || q.Issued-q.Scheduled != 100 || q.First-q.Issued != 100 || q.Done-q.Last != 50 ||
		q.FirstAny != 0 || q.Opened != 0 || q.Issued < 1_000_000 || q.Issued > 1_001_000 {
		t.Errorf("%+v", q)
	}
	f.Add(evidence.Event{At: 2e9, Host: &evidence.Host{}})
	f.Add(evidence.Event{At: 3e9, Request: &evidence.Request{Issued: 2e9}})
	f.Flush()
	if len(got) != 2 || got[1].Request == nil {
		t.Errorf("of a request and a reading, which wait, a flush lets go of %+v", got[1:])
	}
	got = got[:1]
	compare(4*int64(time.Second), 1_000_100)
	if len(got) != 2 || got[1].Host.Generator != 3 || got[1].At < 2e9+1_000_000 {
		t.Errorf("%+v", got[1:])
	}
	if Foldable(&evidence.Event{End: &evidence.End{}}) || Foldable(&evidence.Event{Header: &evidence.Header{}}) {
		t.Error("a generator ends the record")
	}
}

// TestCertificates: a coordinator that knows who signs the generators' certificates accepts no others, whatever the
// key.
func TestCertificates(t *testing.T) {
	key := []byte("a key of sixteen")
	server := httptest.NewTLSServer(nil) // for its certificate, which is valid for 127.0.0.1
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	own, err := ownCertificate()
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		certificate *tls.Certificate
		ok          bool
	}{"signed": {&server.TLS.Certificates[0], true}, "made for itself": {own, false}} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		all.Go(func() {
			if raw, err := l.Accept(); err == nil {
				_, _ = accept(raw, tt.certificate, key)
				raw.Close()
			}
		})
		raw, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := connect(t.Context(), raw, "127.0.0.1", key, roots); (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
		raw.Close()
		all.Wait()
		l.Close()
	}
}
