package certify

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/faults"
)

// TestWhatTheClientRanOutOfBlamesNobody tries a machine that has no files, ports, buffers or memory for one connection
// in three. There must be no FAIL, and the reason must name what was missing. The server closes each connection, so
// that each request needs a new one.
func TestWhatTheClientRanOutOfBlamesNobody(t *testing.T) {
	t.Parallel()
	for name, errno := range map[string]syscall.Errno{"EMFILE": syscall.EMFILE, "ENFILE": syscall.ENFILE,
		"EADDRNOTAVAIL": syscall.EADDRNOTAVAIL, "ENOBUFS": syscall.ENOBUFS, "ENOMEM": syscall.ENOMEM} {
		if testing.Short() && errno != syscall.EMFILE { // the others take the same way
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inner := faults.New(faults.Config{Seed: 1, TTFT: 10 * time.Millisecond, Gap: time.Millisecond})
			defer inner.Close()
			h := httptest.NewServer(faults.Closes.Handler(inner))
			defer h.Close()
			var dials atomic.Int64
			rep, err := Run(t.Context(), Options{Case: "testdata/short.yaml", Target: h.URL, ReportDir: t.TempDir(),
				Seed: 3, dial: func(ctx context.Context, network, address string) (net.Conn, error) {
					if n := dials.Add(1); n > 60 && n%3 == 0 {
						return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("socket", errno)}
					}
					return (&net.Dialer{}).DialContext(ctx, network, address)
				}})
			if err != nil {
				t.Fatal(err)
			}
			blamesNobody(t, rep, name)
		})
	}
}

// blamesNobody checks that no check fails, and that the check of errors is INVALID with the reason why.
func blamesNobody(t *testing.T, rep *report.Report, why string) {
	t.Helper()
	if rep.Status != Invalid {
		t.Errorf("the status is %s", rep.Status)
	}
	for _, c := range rep.Checks {
		if c.Verdict == Fail {
			t.Errorf("%s is blamed: %s", c.ID, c.Reason)
		}
		if c.ID == "errors" && (c.Verdict != Invalid || !strings.Contains(c.Reason, why)) {
			t.Errorf("errors is %s: %s", c.Verdict, c.Reason)
		}
	}
}

// The environment of the process in which TestARunWithoutFiles runs: how many files it may open, and what it
// certifies.
const (
	fewFiles       = "MIXTRAL_TEST_FEW_FILES"
	fewFilesTarget = "MIXTRAL_TEST_TARGET"
)

// slowBetween holds the requests with the numbers from from to to until enough of them have come, which takes a busy
// machine a while, and for some time more. It gives up after 20 s.
func slowBetween(inner http.Handler, from, to, enough int64, more time.Duration) http.Handler {
	var asked, held atomic.Int64
	full, released := make(chan struct{}), make(chan struct{})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/chat/completions") {
			if n := asked.Add(1); n > from && n <= to {
				switch held.Add(1) {
				case 1:
					go func() {
						select {
						case <-full:
							time.Sleep(more)
						case <-time.After(20 * time.Second):
						}
						close(released)
					}()
				case enough:
					close(full)
				}
				<-released
			}
		}
		inner.ServeHTTP(w, r)
	})
}
