package prompts

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Check lists doubtful parts of a valid set, such as rubrics that are weaker than they look.
func (s *Set) Check() []string {
	var out []string
	warn := func(p Prompt, format string, args ...any) {
		out = append(out, p.Key()+": "+fmt.Sprintf(format, args...))
	}
	texts := map[string]string{}
	for _, p := range s.Prompts {
		if other, twice := texts[p.Text]; twice {
			warn(p, "has the same text as %s: a cache may answer", other)
		}
		texts[p.Text] = p.Key()
		r := p.Rubric
		switch {
		case r == nil:
			warn(p, "has no rubric: relevance is read from the prompt's own words")
			continue
		case len(r.Answers)+len(r.Points)+len(r.Facets) == 0:
			warn(p, "its rubric names no answers, points or facets")
		case r.Form == "answer" && len(r.Answers) == 0:
			warn(p, "asks for an answer, but its rubric has none")
		}
		for _, group := range []struct {
			name   string
			points []Point
		}{{"points", r.Points}, {"facets", r.Facets}} {
			names := map[string]bool{}
			for i, point := range group.points {
				if point.Name == "" {
					warn(p, "%s[%d].name: is empty: a report could not say what is missing", group.name, i)
				} else if names[point.Name] {
					warn(p, "%s[%d].name: %q is given twice", group.name, i, point.Name)
				}
				names[point.Name] = true
				for k, term := range point.Any {
					if slices.Contains(point.Any[:k], term) {
						warn(p, "%s[%d].any: %q is given twice", group.name, i, term)
					}
					if strings.TrimSpace(term) != term {
						warn(p, "%s[%d].any: %q begins or ends with a space", group.name, i, term)
					}
				}
			}
		}
	}
	return out
}

// Place finds the line and column, from 1, of a syntax error in the file that Load refused.
func Place(data []byte, err error) (line, column int, ok bool) {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) || syntax.Offset < 1 || syntax.Offset > int64(len(data)) {
		return 0, 0, false
	}
	before := string(data[:syntax.Offset-1])
	return strings.Count(before, "\n") + 1, len(before) - strings.LastIndexByte(before, '\n'), true
}
