package plan

// heap holds the ends of the steps under way, the earliest first. Ends at the same time are in the order of the
// servers, so that a seed gives the same run everywhere. container/heap would allocate for each entry, and there is
// one for each step.
type heap []end

type end struct {
	at     float64
	server int
}

func (e end) before(o end) bool { return e.at < o.at || e.at == o.at && e.server < o.server }

// least returns the earliest end; ok is false if no step is under way.
func (h heap) least() (at float64, server int, ok bool) {
	if len(h) == 0 {
		return 0, 0, false
	}
	return h[0].at, h[0].server, true
}

func (h *heap) push(at float64, server int) {
	*h = append(*h, end{at, server})
	s := *h
	for i := len(s) - 1; i > 0; {
		up := (i - 1) / 2
		if !s[i].before(s[up]) {
			return
		}
		s[i], s[up] = s[up], s[i]
		i = up
	}
}

func (h *heap) pop() {
	s := *h
	last := len(s) - 1
	s[0] = s[last]
	s = s[:last]
	*h = s
	for i := 0; ; {
		down := 2*i + 1
		if down >= last {
			return
		}
		if right := down + 1; right < last && s[right].before(s[down]) {
			down = right
		}
		if !s[down].before(s[i]) {
			return
		}
		s[i], s[down] = s[down], s[i]
		i = down
	}
}
