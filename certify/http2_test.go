package certify_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/internal/certify/faults"
)

// TestAServerThatSpeaksHTTP2Alone tries a server that speaks only HTTP/2, without TLS and with prior knowledge, as
// gRPC's proxies do. It is measured like any other, its metrics are read, and the report names the protocol.
func TestAServerThatSpeaksHTTP2Alone(t *testing.T) {
	t.Parallel()
	h := httptest.NewUnstartedServer(server(t, faults.Healthy))
	h.Config.Protocols = &http.Protocols{}
	h.Config.Protocols.SetUnencryptedHTTP2(true)
	h.Start()
	defer h.Close()
	rep, err := certify.Run(t.Context(), certify.Options{Case: short, Target: h.URL, ReportDir: t.TempDir(), Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"errors", "metrics", "audits", "valid", "quality"} {
		want(t, rep, id, certify.Pass, "")
	}
	if !strings.Contains(strings.Join(rep.Notices, "\n"), "the load speaks HTTP/2") {
		t.Errorf("notices %q", rep.Notices)
	}
}
