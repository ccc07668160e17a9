package api

import (
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/base/walltest"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// TestSetClockChangesNoMetric: while the wall clock jumps by hours with each reading, the service measures times with
// the monotonic clock.
func TestSetClockChangesNoMetric(t *testing.T) {
	f := start(t, func(c *Config, fake *llmtest.Fake) {
		c.Now = walltest.Jumping(t)
		fake.Now = c.Now
	})
	began := time.Now()
	const n = 20
	for i := range n {
		if i%2 == 0 {
			post[openai.ChatResponse](f, "/v1/chat/completions", chatBody)
			continue
		}
		resp := f.request(t.Context(), "POST", "/v1/chat/completions", with(`"stream":true`))
		if s := readStream(t, resp.Body); !s.done {
			t.Errorf("%+v", s)
		}
		resp.Body.Close()
	}
	most := time.Since(began).Seconds()
	m := f.metrics()
	for _, name := range []string{telemetry.TimeToFirstToken, telemetry.RequestLatency, telemetry.InterTokenLatency,
		telemetry.QueueTime} {
		if sum, count := m[name+"_sum"], m[name]; count < n || sum < 0 || sum > most {
			t.Errorf("%s: %v seconds in %v observations of a test that took %v", name, sum, count, most)
		}
	}
	if s := f.server.advice.seconds(); float64(s) > most+1 { // whole seconds
		t.Errorf("advice to try again after %d s", s)
	}
}
