package testcases

import (
	"cmp"
	"errors"
	"slices"
	"strings"
)

// Problem is one mistake in a case: the key, and what is allowed there. It matches ErrInvalid.
type Problem struct {
	Key    string // "targets.latency_ms", "profiles.quick[3].rps"; for a file, its own key
	Reason string
	Place  string // "own.yaml:12", or "line 12" of a text without a name; empty if the case is not from a file

	file, line int      // the order in which problems are listed
	alone      bool     // the value is wrong whatever the others are
	uses       []string // keys whose values it compares with; one with a dot at its end stands for all below it
	err        error    // what it comes from, if that has a sentinel of its own
}

// Error returns "place: key: reason".
func (p *Problem) Error() string {
	text := p.Key + ": " + p.Reason
	if p.Place != "" {
		return p.Place + ": " + text
	}
	return text
}

// Is makes every Problem match ErrInvalid.
func (p *Problem) Is(target error) bool { return target == ErrInvalid }

// Unwrap returns the error that the problem comes from, or nil.
func (p *Problem) Unwrap() error { return p.err }

// follows says whether a problem may be there only because the values of some keys could not be read.
func (p *Problem) follows(wrong []string) bool {
	for _, w := range wrong {
		if isUnder(w, p.Key) || isUnder(p.Key, w) && !p.alone || strings.HasPrefix(w, p.Key+"[") {
			return true
		}
		for _, used := range p.uses {
			whole, all := strings.CutSuffix(used, ".")
			if isUnder(w, whole) || all && isUnder(whole, w) {
				return true
			}
		}
	}
	return false
}

// isUnder says whether a key is another one or is below it.
func isUnder(above, key string) bool {
	rest, ok := strings.CutPrefix(key, above)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// Problems lists the problems in err.
func Problems(err error) []*Problem {
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		var p *Problem
		if errors.As(err, &p) {
			return []*Problem{p}
		}
		return nil
	}
	var all []*Problem
	for _, e := range joined.Unwrap() {
		all = append(all, Problems(e)...)
	}
	return all
}

// invalid is the error about all problems of a case's files.
type invalid []*Problem

// listed makes an error of problems, in the order of the files and of their lines.
func listed(all []*Problem) error {
	slices.SortStableFunc(all, func(a, b *Problem) int {
		return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.line, b.line))
	})
	var out invalid
	for _, p := range all {
		if !slices.ContainsFunc(out, func(q *Problem) bool { return q.Error() == p.Error() }) {
			out = append(out, p)
		}
	}
	return out
}

func (e invalid) Error() string {
	lines := make([]string, len(e))
	for i, p := range e {
		lines[i] = p.Error()
	}
	if len(lines) == 1 {
		return ErrInvalid.Error() + ": " + lines[0]
	}
	return ErrInvalid.Error() + ":\n  " + strings.Join(lines, "\n  ")
}

// Is makes the error match ErrInvalid.
func (e invalid) Is(target error) bool { return target == ErrInvalid }

// Unwrap returns the problems.
func (e invalid) Unwrap() []error {
	out := make([]error, len(e))
	for i, p := range e {
		out[i] = p
	}
	return out
}
