package probe

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// Bounds of a scrape. One of vLLM has 50 KB in 500 series, and one of a gateway with a thousand keys a few megabytes.
const (
	maxBody   = 8 << 20
	maxSeries = 100_000
	maxLabels = 400_000 // in all series together
	maxOthers = 1000    // names of metrics that are not used here
)

// errTooMuch matches errors about metrics that exceed the bounds. The server offers them, but they are not read.
var errTooMuch = errors.New("more than this client reads")

// textReader reads Prometheus' text format, and the part of OpenMetrics that is equal to it. It keeps the series of
// wanted metrics, and only the names of all others.
type textReader struct {
	wanted func(name string) bool // nil: all metrics are wanted
	all    []series
	labels int
	others map[string]bool
}

// read reads a whole scrape.
func (r *textReader) read(text string) error {
	r.others = map[string]bool{}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if err := r.line(line); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	if len(r.all)+len(r.others) == 0 {
		return errors.New("there are none in the answer")
	}
	return nil
}

// line reads one sample: name{label="value",…} value [time] [# exemplar].
func (r *textReader) line(line string) error {
	end := strings.IndexAny(line, "{ \t")
	if end < 0 {
		return fmt.Errorf("no value in %q", bounded.Short(line, 80))
	}
	name, rest := line[:end], line[end:]
	var labels map[string]string
	if rest[0] == '{' {
		wanted := name == "" || r.wants(name) // a name that is not an identifier is among the labels
		var err error
		if name, labels, rest, err = r.braces(name, rest[1:], wanted); err != nil {
			return err
		}
	}
	if !validName(name) {
		return fmt.Errorf("%q is not a name of a metric", bounded.Short(name, 80))
	}
	number, _, _ := strings.Cut(strings.TrimLeft(rest, " \t"), " ")
	number, _, _ = strings.Cut(number, "\t")
	value, err := strconv.ParseFloat(number, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return fmt.Errorf("the value of %s must be a number, got %q", bounded.Short(name, 80),
			bounded.Short(number, 80))
	}
	if !r.wants(name) {
		if len(r.others) < maxOthers {
			r.others[name] = true
		}
		return nil
	}
	if _, quantile := labels["quantile"]; quantile {
		return nil // quantiles of a summary cannot be subtracted; its sum and count are series too
	}
	if len(r.all) == maxSeries {
		return fmt.Errorf("%w: %d series", errTooMuch, maxSeries)
	}
	r.all = append(r.all, series{name, labels, value})
	return nil
}

func (r *textReader) wants(name string) bool { return r.wanted == nil || r.wanted(name) }

// braces reads the labels up to the closing brace, and returns them with the rest of the line. Without keep it only
// checks them.
func (r *textReader) braces(name, s string, keep bool) (string, map[string]string, string, error) {
	labels := map[string]string{}
	for {
		s = strings.TrimLeft(s, " \t,")
		if strings.HasPrefix(s, "}") {
			return name, labels, s[1:], nil
		}
		var key string
		var err error
		if strings.HasPrefix(s, `"`) {
			if key, s, err = quoted(s); err != nil {
				return "", nil, "", err
			}
			if t := strings.TrimLeft(s, " \t"); name == "" && !strings.HasPrefix(t, "=") {
				name = key
				continue
			}
		} else if eq := strings.IndexByte(s, '='); eq > 0 {
			key, s = strings.TrimSpace(s[:eq]), s[eq:]
		}
		s = strings.TrimLeft(s, " \t")
		if key == "" || !strings.HasPrefix(s, "=") {
			return "", nil, "", fmt.Errorf("labels that are not closed in %q", bounded.Short(name+"{"+s, 80))
		}
		var value string
		if value, s, err = quoted(strings.TrimLeft(s[1:], " \t")); err != nil {
			return "", nil, "", err
		}
		if !keep {
			continue
		}
		if r.labels++; r.labels > maxLabels {
			return "", nil, "", fmt.Errorf("%w: %d labels", errTooMuch, maxLabels)
		}
		labels[key] = value
	}
}

// quoted reads a string in double quotes with the escapes \\, \" and \n, and returns it with the rest.
func quoted(s string) (value, rest string, err error) {
	if !strings.HasPrefix(s, `"`) {
		return "", "", fmt.Errorf("no value in quotes at %q", bounded.Short(s, 80))
	}
	escaped := false
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			escaped = true
			i++
		case '"':
			if value = s[1:i]; escaped {
				value = unescape.Replace(value)
			}
			return value, s[i+1:], nil
		}
	}
	return "", "", fmt.Errorf("a value without its closing quote: %q", bounded.Short(s, 80))
}

var unescape = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\n`, "\n")

// validName says whether a name is allowed in the text format, or is UTF-8 without any character that ends a name.
func validName(name string) bool {
	return name != "" && len(name) <= 4*evidence.MaxName && utf8.ValidString(name) &&
		!strings.ContainsAny(name, "<>{}()[]=,;\"'\\/ \t\n")
}
