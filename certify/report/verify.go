package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/hxp-enterprise/mixtral/internal/base/noun"
)

// Differences lists where a report differs from the one derived from its events: one line for each value. If only the
// layout of the file differs, one line says so. No line means that the bytes are equal.
func Differences(have, want []byte) ([]string, error) {
	if bytes.Equal(have, want) {
		return nil, nil
	}
	var a, b any
	if err := decode(have, &a); err != nil {
		return nil, err
	}
	if err := decode(want, &b); err != nil {
		return nil, err
	}
	var out []string
	walk("", a, b, &out)
	if len(out) == 0 {
		out = append(out, "the values are the same, but the file was written differently (spaces, order, numbers)")
	}
	return out, nil
}

func decode(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber() // so that 1.0 and 1 count as different
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("report: %w: %w", ErrFormat, err)
	}
	return nil
}

// walk compares two JSON values, and adds a line for each difference.
func walk(path string, a, b any, out *[]string) {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok {
			break
		}
		keys := slices.Collect(maps.Keys(x))
		for k := range y {
			if _, both := x[k]; !both {
				keys = append(keys, k)
			}
		}
		slices.Sort(keys)
		for _, k := range keys {
			at := strings.TrimPrefix(path+"."+k, ".")
			v, inA := x[k]
			w, inB := y[k]
			switch {
			case !inA:
				*out = append(*out, fmt.Sprintf("%s is missing, the events give %s", Clean(at), brief(w)))
			case !inB:
				*out = append(*out, fmt.Sprintf("%s is %s, the events give no such key", Clean(at), brief(v)))
			default:
				walk(at, v, w, out)
			}
		}
		return
	case []any:
		y, ok := b.([]any)
		if !ok {
			break
		}
		if len(x) != len(y) {
			*out = append(*out, fmt.Sprintf("%s has %s, the events give %d", Clean(path),
				noun.Of(len(x), "entry", "entries"), len(y)))
			return
		}
		for i := range x {
			walk(path+"["+name(x[i], i)+"]", x[i], y[i], out)
		}
		return
	}
	if a != b {
		*out = append(*out, fmt.Sprintf("%s is %s, the events give %s", Clean(path), brief(a), brief(b)))
	}
}

// name is the id of a list's entry, or its index if it has none.
func name(v any, i int) string {
	if m, ok := v.(map[string]any); ok {
		if id, ok := m["id"].(string); ok {
			return id
		}
	}
	return strconv.Itoa(i)
}

// brief formats a value as one short line.
func brief(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	s := Clean(string(data))
	const most = 70
	if utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most]) + "…"
	}
	return s
}

// DiffText writes a comparison for a terminal: first figures that got worse, then those that got better, then those
// that differ otherwise. Figures that stayed the same are only written if all is set.
func DiffText(w io.Writer, c Comparison, all bool) error {
	var b strings.Builder
	for _, warning := range c.Warnings {
		wrap(&b, "! ", "  ", Clean(warning))
	}
	rows := [][]string{{"", "what", "before", "after", "change", ""}}
	n := map[string]int{}
	for _, x := range c.Changes {
		n[x.How]++
	}
	for _, how := range []string{Worse, Better, Differ, Same} {
		for _, x := range c.Changes {
			if x.How != how || how == Same && !all {
				continue
			}
			rows = append(rows, []string{how, Clean(x.What), optFigure(x.A, x.Unit), optFigure(x.B, x.Unit),
				x.by(), Clean(x.Reason)})
		}
	}
	if len(rows) > 1 {
		widths := columnWidths(rows, 34)
		last := len(widths) - 1
		widths[last] = 0
		for _, row := range rows {
			reason := row[last]
			row[last] = ""
			writeRow(&b, row, widths)
			if reason != "" && row[0] != "" {
				indent := strings.Repeat(" ", widths[0]+2)
				wrap(&b, indent, indent, reason)
			}
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "%d worse, %d better, %d differ otherwise, %d the same within noise\n", n[Worse], n[Better],
		n[Differ], n[Same])
	_, err := io.WriteString(w, b.String())
	return err
}

// by formats how much a figure changed, with the interval.
func (c Change) by() string {
	if c.By == nil {
		return "-"
	}
	v, _ := written(*c.By, Clean(c.Unit))
	if *c.By > 0 {
		v = "+" + v
	}
	if c.Band != nil {
		lo, _ := written(c.Band[0], Clean(c.Unit))
		hi, _ := written(c.Band[1], Clean(c.Unit))
		v += " (" + lo + " to " + hi + ")"
	}
	return v
}

func optFigure(x *float64, unit string) string {
	if x == nil {
		return "-"
	}
	return figureText(*x, Clean(unit))
}
