package certify

import (
	"fmt"

	"github.com/hxp-enterprise/mixtral/testcases"
)

// spareFiles is how many open files a run needs beside its connections: for the record, samples, metrics, and the
// pipes of a started server.
const spareFiles = 64

// limits compares the files and ports that this machine allows with the connections that the load may need. If they
// are too few for the connections that are opened before a schedule, a precondition is broken. If they are too few
// only for the cap on requests in flight, that is noted, because it matters only if the server falls that far behind.
// generators is the number of machines that share the load.
func limits(p *plan, generators int, files, ports func() (int, bool)) result {
	need, most := 1, p.c.Limits.MaxInFlight/generators
	for _, ph := range p.phases {
		if ph.Kind != testcases.KindIdle && ph.Kind != testcases.KindAudit {
			need = max(need, connections(p.c, ph)/generators)
		}
	}
	said := fmt.Sprintf("%d connections to begin with, at most %d", need, most)
	for _, x := range []struct {
		what string
		have func() (int, bool)
		more int
		help string
	}{{"open files", files, spareFiles, "raise it with ulimit -n"},
		{"local ports", ports, 0, "widen net.ipv4.ip_local_port_range"}} {
		n, ok := x.have()
		switch {
		case !ok:
		case n < need+x.more:
			return result{err: fmt.Errorf("%s; this machine allows %d %s: %s", said, n, x.what, x.help)}
		case n < most+x.more:
			said += fmt.Sprintf("; this machine allows %d %s, less than limits.max_in_flight may take: %s", n, x.what,
				x.help)
		default:
			said += fmt.Sprintf("; %d %s", n, x.what)
		}
	}
	return result{detail: said}
}
