package report

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/hxp-enterprise/mixtral/internal/base/stats"
)

// width is the width of the text report, in characters. It fits most terminals and the logs of CI systems.
const width = 110

// Text writes the report as a table for terminals and logs. Every check that is not PASS has its reason.
func Text(w io.Writer, r *Report) error {
	var b strings.Builder
	wrap(&b, "", "", Clean(r.TestCase)+" "+Clean(r.Case.Name))
	wrap(&b, "", "", fmt.Sprintf("%s · profile %s · %s", Clean(string(r.Status)), Clean(r.Profile),
		time.UnixMilli(int64(r.Timestamp*1000)).UTC().Format("2006-01-02 15:04:05 UTC")))
	wrap(&b, "", "", Clean(target(r)))
	b.WriteByte('\n')
	for _, n := range r.Notices {
		wrap(&b, "! ", "  ", Clean(n))
	}
	if len(r.Notices) > 0 {
		b.WriteByte('\n')
	}
	checkTable(&b, r.Checks)
	b.WriteByte('\n')
	for _, s := range r.Sweeps {
		sweepTable(&b, s)
	}
	phaseTable(&b, r.Phases)
	generatorTable(&b, r.Generators)
	if r.Against != nil {
		fmt.Fprintf(&b, "against %s (%s, %s)\n", Clean(r.Against.Name), Clean(string(r.Against.Status)),
			time.UnixMilli(int64(r.Against.Timestamp*1000)).UTC().Format("2006-01-02 15:04:05 UTC"))
		if err := DiffText(&b, r.Against.Comparison, false); err != nil {
			return err
		}
		b.WriteByte('\n')
	}
	wrap(&b, "", "", Clean(r.Arithmetic))
	fmt.Fprintf(&b, "\n%s: %s\n", Clean(string(r.Status)), tally(r.Checks))
	var ids []string
	for _, c := range Deciding(r) {
		ids = append(ids, Clean(c.ID))
	}
	if len(ids) > 0 {
		wrap(&b, "  decided by ", "  ", strings.Join(ids, ", "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func target(r *Report) string {
	switch {
	case r.Target.Model != "" && r.Target.URL != "":
		return r.Target.Model + " at " + r.Target.URL
	case r.Target.URL != "":
		return r.Target.URL
	}
	return r.Target.Model
}

// Deciding lists the gates because of which the status is not PASS: those that failed, or, if none failed, those that
// could not be judged.
func Deciding(r *Report) []Check {
	for _, verdict := range []Verdict{Fail, Invalid} {
		var out []Check
		for _, c := range r.Checks {
			if c.Gate && c.Verdict == verdict {
				out = append(out, c)
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	return nil
}

// tally formats the number of checks of each verdict.
func tally(checks []Check) string {
	n := map[Verdict]int{}
	for _, c := range checks {
		n[c.Verdict]++
	}
	var parts []string
	for _, v := range []struct {
		verdict Verdict
		words   string
	}{{Pass, "passed"}, {Fail, "failed"}, {Invalid, "could not be judged"}, {Info, "reported only"}} {
		if n[v.verdict] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[v.verdict], v.words))
		}
	}
	if len(parts) == 0 {
		return "no checks"
	}
	return strings.Join(parts, ", ")
}

// checkTable has a line for each check, and below it the reason if it is needed.
func checkTable(b *strings.Builder, checks []Check) {
	rows := [][]string{{"", "check", "measured", "target", "interval"}}
	for _, c := range checks {
		row := []string{Clean(string(c.Verdict)), Clean(c.ID), "-", "", ""}
		if c.Measured != nil {
			row[2] = figureText(*c.Measured, Clean(c.Unit))
		}
		if c.Target != nil {
			row[3], _ = written(*c.Target, c.Unit)
			row[3] = Clean(c.Op) + " " + row[3]
		}
		if c.Interval != nil {
			lo, _ := written(c.Interval[0], c.Unit)
			hi, _ := written(c.Interval[1], c.Unit)
			row[4] = lo + " to " + hi
		}
		rows = append(rows, row)
	}
	widths := columnWidths(rows, 30)
	for i, row := range rows {
		writeRow(b, row, widths)
		if i > 0 && (checks[i-1].Verdict != Pass || atOdds(checks[i-1])) {
			indent := strings.Repeat(" ", widths[0]+2)
			wrap(b, indent, indent, Clean(checks[i-1].Reason))
		}
	}
}

// atOdds says whether a check passed although its figure alone does not meet the target. Its reason must then be
// shown.
func atOdds(c Check) bool {
	if c.Measured == nil || c.Target == nil {
		return false
	}
	x, t := *c.Measured, *c.Target
	return c.Op == "<" && x >= t || c.Op == "<=" && x > t || c.Op == ">=" && x < t || c.Op == "=" && x != t
}

func phaseTable(b *strings.Builder, phases []Phase) {
	rows := [][]string{{"phase", "kind", "requests", "failed", "per s", "mean ms", "p50", "p99", "ttft p50",
		"in flight"}}
	for _, p := range phases {
		if p.Scheduled == 0 || p.Step != "" {
			continue
		}
		row := []string{Clean(p.ID), Clean(string(p.Kind)), Number(float64(p.Scheduled)), Number(float64(p.Failed)),
			Optional(&p.RPS), "-", "-", "-", "-", Optional(&p.InFlight)}
		if d := p.Latency; d != nil {
			row[5], row[6], row[7] = Optional(&d.Mean), Optional(d.P50), Optional(d.P99)
		}
		if p.TTFT != nil {
			row[8] = Optional(p.TTFT.P50)
		}
		rows = append(rows, row)
	}
	if len(rows) == 1 {
		return
	}
	widths := columnWidths(rows, 20)
	for _, row := range rows {
		writeRow(b, row, widths)
	}
	for _, p := range phases {
		if p.Step == "" {
			troubles(b, p)
		}
	}
	wrap(b, "", "", "A \"-\" is a percentile that the sample is too small to state; "+fewest()+".")
	b.WriteByte('\n')
}

// troubles writes why requests of a phase failed, and how many were sent again.
func troubles(b *strings.Builder, p Phase) {
	for _, x := range p.Reasons {
		wrap(b, "  "+Clean(p.ID)+" failed: ", "    ", Clean(x.String()))
	}
	if p.Retried > 0 {
		wrap(b, "  "+Clean(p.ID)+": ", "    ", Number(float64(p.Retried))+" sent again on a new connection, since a "+
			"reused one was closed before the first byte")
	}
	if g := p.GPU; g != nil {
		text := fmt.Sprintf("accelerators took %s W on average, %s J", Number(g.Watts), Number(g.Joules))
		if g.TokensPerJoule != nil {
			text += fmt.Sprintf(": %s output tokens a joule", Number(*g.TokensPerJoule))
		}
		wrap(b, "  "+Clean(p.ID)+": ", "    ", text)
	}
	if d := p.FirstAny; d != nil {
		wrap(b, "  "+Clean(p.ID)+": ", "    ", fmt.Sprintf("first token of any kind after %s ms on average, "+
			"reasoning included; ttft above is the first content", Number(d.Mean)))
	}
}

// fewest says how many requests are needed to state each percentile at 99 % confidence, so that a reader knows why one
// is missing.
func fewest() string {
	var parts []string
	for _, p := range []float64{0.5, 0.9, 0.95, 0.99, 0.999} {
		parts = append(parts, fmt.Sprintf("p%s %s", Number(100*p), Number(float64(stats.MinSamples(p, 0.99, 0)))))
	}
	return "it takes at least so many requests: " + strings.Join(parts, ", ")
}

// Optional formats a number for a narrow column. nil is a percentile for which the sample is too small.
func Optional(x *float64) string {
	if x == nil {
		return "-"
	}
	return Number(*x)
}

func columnWidths(rows [][]string, most int) []int {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = min(max(widths[i], utf8.RuneCountInString(cell)), most)
		}
	}
	return widths
}

// writeRow writes aligned cells: words to the left, figures to the right. A cell wider than its column is cut.
func writeRow(b *strings.Builder, row []string, widths []int) {
	var line strings.Builder
	for i, cell := range row {
		if runes := []rune(cell); len(runes) > widths[i] {
			cell = string(runes[:widths[i]-1]) + "…"
		}
		pad := widths[i] - utf8.RuneCountInString(cell)
		if i < 2 {
			line.WriteString(cell + strings.Repeat(" ", pad))
		} else {
			line.WriteString(strings.Repeat(" ", pad) + cell)
		}
		line.WriteString("  ")
	}
	b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
}

// wrap writes text in lines of at most width characters. Words longer than a line are cut.
func wrap(b *strings.Builder, first, rest, text string) {
	line, used := first, 0
	room := func() int { return width - utf8.RuneCountInString(line) }
	for _, word := range strings.Fields(text) {
		for {
			sep := ""
			if used > 0 {
				sep = " "
			}
			n := utf8.RuneCountInString(sep + word)
			if n <= room() {
				line += sep + word
				used++
				break
			}
			if used == 0 {
				cut := []rune(word)
				k := room()
				b.WriteString(line + string(cut[:k]) + "\n")
				word, line = string(cut[k:]), rest
				continue
			}
			b.WriteString(line + "\n")
			line, used = rest, 0
		}
	}
	if used > 0 {
		b.WriteString(line + "\n")
	}
}

// Clean replaces control characters in text from a server or a file, which could otherwise control the terminal.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, s)
}
