package service

import (
	"context"
	"crypto/tls"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/store/postgres/pgtest"
	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// soakWorld is a service and all that operators change while it runs: keys, a certificate, a database.
type soakWorld struct {
	t                  *testing.T
	s                  *Service
	http               *http.Client
	address            string
	keys, cert, secret string // files
	database           *pgtest.Cluster
	url                string // of the database

	key                atomic.Pointer[string] // the newest
	serial             atomic.Int64           // of the newest certificate
	renewals, restarts int
}

func newSoakWorld(t *testing.T) *soakWorld {
	dir := t.TempDir()
	w := &soakWorld{t: t, keys: filepath.Join(dir, "keys"), cert: filepath.Join(dir, "tls.crt"),
		secret: filepath.Join(dir, "tls.key"), database: pgtest.New(t)}
	if err := w.database.Start(); err != nil {
		t.Fatal(err)
	}
	w.url = w.database.Database(t)
	w.writeKey(1)
	w.serial.Store(1)
	writeCertificate(t, w.cert, w.secret, 1)
	w.s = openTiny(t, func(c *Options) {
		c.ModelPath, c.MaxConcurrentRequests, c.MaxQueuedRequests, c.MaxTokens = brokenModel(t), 4, 8, 200
		c.APIKeyFile, c.TLSCertFile, c.TLSKeyFile, c.DatabaseURL = w.keys, w.cert, w.secret, w.url
		c.Responses, c.ScopePerKey = ResponsesMemory, true
	})
	w.address = serveTiny(t, w.s, w.s.Serve)
	w.http = &http.Client{Transport: withKeyOf{w, &http.Transport{TLSClientConfig: w.tls(), ForceAttemptHTTP2: true,
		MaxIdleConnsPerHost: 16}}}
	t.Cleanup(w.http.CloseIdleConnections)
	return w
}

// writeKey makes a new key, beside which the one before is still good.
func (w *soakWorld) writeKey(n int) {
	key := func(n int) string { return fmt.Sprintf("sk-soak-%020d", n) }
	text := fmt.Sprintf("client %s\nbefore %s\n", key(n), key(n-1))
	if err := os.WriteFile(w.keys, []byte(text), 0o600); err != nil {
		w.t.Error(err)
	}
	if w.s != nil {
		if err := w.s.ReloadKeys(); err != nil {
			w.t.Error(err)
		}
	}
	now := key(n)
	w.key.Store(&now)
}

// tls trusts the newest certificate, and those one before and one after it.
func (w *soakWorld) tls() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(c tls.ConnectionState) error {
		if n, want := c.PeerCertificates[0].SerialNumber.Int64(), w.serial.Load(); n < want-1 || n > want+1 {
			return fmt.Errorf("certificate %d, want %d", n, want)
		}
		return nil
	}}
}

// withKeyOf adds the newest key to each request that has none.
type withKeyOf struct {
	w *soakWorld
	*http.Transport
}

func (k withKeyOf) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("Authorization") == "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+*k.w.key.Load())
	}
	return k.Transport.RoundTrip(r)
}

// renew does what operators do, at random moments of a round: it renews a key and the certificate, and restarts the
// database.
func (w *soakWorld) renew(rng *rand.Rand, until time.Time) {
	pause := func(share float64) { time.Sleep(time.Duration(share * rng.Float64() * float64(time.Until(until)))) }
	pause(0.3)
	w.renewals++
	w.writeKey(w.renewals + 1)
	pause(0.3)
	writeCertificate(w.t, w.cert, w.secret, int64(w.renewals+1))
	if err := w.s.ReloadCertificate(); err != nil {
		w.t.Error(err)
	}
	w.serial.Store(int64(w.renewals + 1))
	pause(0.3)
	w.database.Stop()
	pause(0.5)
	if err := w.database.Start(); err != nil {
		w.t.Error(err)
	}
	w.restarts++
}

// logged waits until the request log has written what it holds.
func (w *soakWorld) logged() {
	w.t.Helper()
	llmtest.Until(w.t, "the request log to be written", func() bool {
		return metricOf(w.t, w.s, telemetry.LogPending) == 0
	})
}

// checkLog: the database has each line once, and none was dropped.
func (w *soakWorld) checkLog() {
	w.t.Helper()
	db, err := sql.Open("pgx", w.url)
	if err != nil {
		w.t.Fatal(err)
	}
	defer db.Close()
	var lines, different float64
	if err := db.QueryRowContext(w.t.Context(), "SELECT count(*), count(DISTINCT line) FROM requests").Scan(&lines,
		&different); err != nil {
		w.t.Fatal(err)
	}
	written, dropped := metricOf(w.t, w.s, telemetry.LogWritten), metricOf(w.t, w.s, telemetry.LogDropped)
	if lines != different || lines != written || dropped != 0 {
		w.t.Errorf("%v lines, %v of them different, %v written, %v dropped", lines, different, written, dropped)
	}
}

// soakClient behaves as a chaosClient does, and in more ways.
type soakClient struct {
	chaosClient
	w *soakWorld
}

func (w *soakWorld) client(rng *rand.Rand, saw *chaosCounts) *soakClient {
	c := &soakClient{chaosClient{t: w.t, s: w.s, http: w.http, url: "https://" + w.address, rng: rng, saw: saw}, w}
	c.open = func() (net.Conn, error) {
		config := w.tls()
		config.NextProtos = []string{"http/1.1"}
		return tls.Dial("tcp", w.address, config)
	}
	c.raw = func(body string) string {
		return strings.Replace(strings.Replace(rawPost(body), "Host: x", "Host: localhost", 1), "\r\n\r\n",
			"\r\nAuthorization: Bearer "+*w.key.Load()+"\r\n\r\n", 1)
	}
	return c
}

func (c *soakClient) act() {
	switch c.rng.IntN(12) {
	case 0:
		c.structured()
	case 1:
		c.tool()
	case 2:
		// Kept responses are deleted again: otherwise the memory set aside for them would fill during the whole run.
		answer := c.formed("/v1/responses", `{"input":"word %d","max_output_tokens":%d,"store":false,"stream":%v}`,
			`"object":"response"`, "event: response.completed", "event: response.incomplete")
		if answer != "" {
			c.kept()
		}
	case 3:
		c.formed("/v1/messages", `{"messages":[{"role":"user","content":"word %d"}],"max_tokens":%d,"stream":%v}`,
			`"stop_reason"`, "event: message_stop")
	case 4:
		c.sip()
	case 5:
		c.strange()
	default:
		c.chaosClient.act()
	}
}

// object is the schema of structured answers and of the arguments of tools.
const object = `{"type":"object","properties":{"n":{"type":"integer"},"b":{"enum":["x","y"]}},"required":["n","b"],` +
	`"additionalProperties":false}`

// choice returns the first choice of a chat, or empty strings if there is no answer if there is no answer.
func (c *soakClient) choice(body string) (finish, content, arguments string) {
	code, answer := c.read(body)
	if code == 429 || c.chanced(answer) {
		return "", "", ""
	}
	var r struct {
		Choices []struct {
			Finish  string `json:"finish_reason"`
			Message struct {
				Content string
				Calls   []struct{ Function struct{ Arguments string } } `json:"tool_calls"`
			}
		}
	}
	if code != 200 || json.Unmarshal([]byte(answer), &r) != nil || len(r.Choices) != 1 {
		c.t.Errorf("%s: %d %s", body, code, answer)
		return "", "", ""
	}
	c.saw.answers.Add(1)
	if calls := r.Choices[0].Message.Calls; len(calls) > 0 {
		arguments = calls[0].Function.Arguments
	}
	return r.Choices[0].Finish, r.Choices[0].Message.Content, arguments
}

// isObject reports whether text satisfies the schema object.
func isObject(text string) bool {
	var v struct {
		N *json.Number
		B string
	}
	return json.Unmarshal([]byte(text), &v) == nil && v.N != nil && (v.B == "x" || v.B == "y")
}

// structured requests answers in a form that differs from one request to the next, so that some have to be compiled.
func (c *soakClient) structured() {
	schema := strings.Replace(object, `"integer"`, fmt.Sprintf(`"integer","minimum":%d`, c.rng.IntN(50)), 1)
	finish, content, _ := c.choice(fmt.Sprintf(`{"messages":[{"role":"user","content":"word %d"}],"max_tokens":%d,`+
		`"response_format":{"type":"json_schema","json_schema":{"name":"o","strict":true,"schema":%s}}}`, c.rng.IntN(5),
		1+c.rng.IntN(60), schema))
	if finish == "stop" && !isObject(content) {
		c.t.Errorf("a structured answer: %q", content)
	}
}

func (c *soakClient) tool() {
	finish, _, arguments := c.choice(fmt.Sprintf(`{"messages":[{"role":"user","content":"word %d"}],"max_tokens":%d,`+
		`"tools":[{"type":"function","function":{"name":"f","parameters":%s}}],"tool_choice":"required"}`, c.rng.IntN(5),
		1+c.rng.IntN(80), object))
	if finish == "tool_calls" && !isObject(arguments) {
		c.t.Errorf("arguments of a call: %q", arguments)
	}
}

// formed sends another form of request, streamed or whole. It returns the answer, empty if there is none.
func (c *soakClient) formed(path, format, whole string, ends ...string) string {
	stream := c.rng.IntN(2) == 0
	body := fmt.Sprintf(format, c.rng.IntN(5), 1+c.rng.IntN(60), stream)
	code, answer := c.readFrom(path, body)
	switch {
	case code == 429 || c.chanced(answer) || strings.Contains(answer, "output is not finite"):
		return ""
	case code == 200 && !stream && strings.Contains(answer, whole):
		return answer
	case code == 200 && stream:
		for _, end := range ends {
			if strings.Contains(answer, end) {
				return answer
			}
		}
	}
	c.t.Errorf("%s: %s: %d %s", path, body, code, answer)
	return ""
}

// kept requests a response that the service stores, and deletes it.
func (c *soakClient) kept() {
	before := c.w.key.Load()
	code, answer := c.readFrom("/v1/responses", `{"input":"hi","max_output_tokens":2}`)
	var r struct{ ID string }
	if code == 429 || c.chanced(answer) {
		return
	}
	if code != 200 || json.Unmarshal([]byte(answer), &r) != nil {
		c.t.Errorf("a response: %d %s", code, answer)
		return
	}
	// When keys are renewed meanwhile, the name that it was kept under is that of the key before or of the new one.
	for range 100 {
		for _, key := range []*string{c.w.key.Load(), before} {
			if code, answer = c.delete(r.ID, *key); code == 200 {
				return
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	c.t.Errorf("deleting a response: %d %s", code, answer)
}

// delete deletes a response with a key.
func (c *soakClient) delete(id, key string) (code int, answer string) {
	request, err := http.NewRequestWithContext(context.Background(), "DELETE", c.url+"/v1/responses/"+id, nil)
	if err != nil {
		c.t.Error(err)
		return 0, ""
	}
	request.Header.Set("Authorization", "Bearer "+key)
	resp, err := c.http.Do(request)
	if err != nil {
		c.t.Error(err)
		return 0, ""
	}
	defer resp.Body.Close()
	answered, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(answered)
}

// sip reads a large answer so slowly that the service has to wait, and disconnects before its end.
func (c *soakClient) sip() {
	conn := c.dial(c.raw(`{"messages":[{"role":"user","content":"hi"}],"n":4,"max_tokens":200,"ignore_eos":true,` +
		`"logprobs":true,"top_logprobs":20,"stream":true}`))
	if conn == nil {
		return
	}
	defer conn.Close()
	if c, ok := conn.(*tls.Conn).NetConn().(*net.TCPConn); ok {
		c.SetReadBuffer(4 << 10)
	}
	for range 5 + c.rng.IntN(40) {
		conn.SetReadDeadline(time.Now().Add(time.Second)) // the answer may have ended
		if _, err := conn.Read(make([]byte, 200)); err != nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// strange sends a request with a key that is not valid.
func (c *soakClient) strange() {
	r, err := http.NewRequestWithContext(context.Background(), "POST", c.url+"/v1/chat/completions",
		strings.NewReader(`{"messages":[{"role":"user","content":"hi"}]}`))
	if err != nil {
		c.t.Error(err)
		return
	}
	r.Header.Set("Authorization", fmt.Sprintf("Bearer sk-soak-%020d", 1<<40+c.rng.IntN(1000)))
	resp, err := c.http.Do(r)
	if err != nil {
		c.t.Error(err)
		return
	}
	defer resp.Body.Close()
	if answer, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusUnauthorized {
		c.t.Errorf("with a wrong key: %d %s", resp.StatusCode, answer)
	}
}
