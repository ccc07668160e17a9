package report

import (
	"math"
	"strconv"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/noun"
)

// Number formats a figure for readers: with about four significant digits, and commas between thousands. NaN and
// infinities are "unknown".
func Number(x float64) string {
	a := math.Abs(x)
	digits := 0
	switch {
	case math.IsNaN(x) || math.IsInf(x, 0):
		return "unknown"
	case a == math.Trunc(a) && a < 1e15:
	case a >= 1000:
	case a >= 100:
		digits = 1
	case a >= 1:
		digits = 2
	case a >= 0.01:
		digits = 3
	default:
		return strconv.FormatFloat(x, 'g', 3, 64)
	}
	s := strconv.FormatFloat(x, 'f', digits, 64)
	whole, frac, _ := strings.Cut(s, ".")
	sign := ""
	if strings.HasPrefix(whole, "-") {
		sign, whole = "-", whole[1:]
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if frac = strings.TrimRight(frac, "0"); frac != "" {
		whole += "." + frac
	}
	return sign + whole
}

// written formats a measured value and its unit. A share becomes a percentage.
func written(x float64, of string) (value, unit string) {
	if of == "share" {
		return Number(100 * x), "%"
	}
	return Number(x), unitOf(x, of)
}

// singular has the singular of the units of checks that are nouns.
var singular = map[string]string{"cores": "core", "differences": "difference", "faults": "fault",
	"parts missing": "part missing", "phases": "phase"}

func unitOf(x float64, unit string) string {
	if one, ok := singular[unit]; ok {
		return noun.For(x, one, unit)
	}
	return unit
}

// counted formats a count as Number does, with its noun.
func counted(n int, one, many string) string {
	return Number(float64(n)) + " " + noun.For(n, one, many)
}

// figureText formats a figure with its unit.
func figureText(x float64, of string) string {
	v, u := written(x, of)
	if u == "" {
		return v
	}
	return v + " " + u
}
