package slo

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/stats"
)

// ErrSyntax is matched by every error of Parse.
var ErrSyntax = errors.New("invalid objective")

// Metric is a property of a request that is measured, in seconds.
type Metric string

// The metrics of a streamed answer, by the definitions of the field: TTFT is the time to the first token, TPOT the
// mean time of each token after the first, ITL the time between two tokens, Latency the time to the last token.
const (
	TTFT    Metric = "ttft"
	TPOT    Metric = "tpot"
	ITL     Metric = "itl"
	Latency Metric = "latency"
)

// Metrics lists them in the order in which reports show them.
var Metrics = []Metric{TTFT, TPOT, ITL, Latency}

// Objective is one bound: the statistic of the metric must be below the limit.
type Objective struct {
	Metric Metric
	// Percentile is the share of requests that must be below Limit, between 0 and 1; 0 stands for the mean.
	Percentile float64
	// Limit is in seconds, above 0.
	Limit float64
}

// Parse reads objectives separated by commas: METRIC:STATISTIC<LIMIT. The metric is ttft, tpot, itl or latency; the
// statistic is mean or a percentile from p1 to p99.999; the limit is a duration such as 200ms or 2s. Errors match
// ErrSyntax and name the objective.
func Parse(list string) ([]Objective, error) {
	var all []Objective
	for part := range strings.SplitSeq(list, ",") {
		o, err := parseOne(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	return all, nil
}

// form says what an objective must look like.
func form(s string) error {
	return fmt.Errorf("%w: must be METRIC:STATISTIC<LIMIT, such as ttft:p99<2s, got %q", ErrSyntax, s)
}

func parseOne(s string) (o Objective, err error) {
	bad := func(reason string, args ...any) (Objective, error) {
		return Objective{}, fmt.Errorf("%w: %s", form(s), fmt.Sprintf(reason, args...))
	}
	left, limit, ok := strings.Cut(s, "<")
	if !ok {
		return Objective{}, form(s)
	}
	limit = strings.TrimPrefix(limit, "=")
	metric, statistic, ok := strings.Cut(strings.TrimSpace(left), ":")
	if !ok {
		return bad("it has no statistic")
	}
	o.Metric = Metric(strings.ToLower(strings.TrimSpace(metric)))
	if !slices.Contains(Metrics, o.Metric) {
		return bad("unknown metric %q; known metrics: ttft, tpot, itl, latency", metric)
	}
	if o.Percentile, err = parseStatistic(strings.TrimSpace(statistic)); err != nil {
		return bad("%v", err)
	}
	d, err := time.ParseDuration(strings.TrimSpace(limit))
	if err != nil || d <= 0 {
		return bad("the limit %q is not a duration above 0, such as 200ms or 2s", strings.TrimSpace(limit))
	}
	o.Limit = d.Seconds()
	return o, nil
}

func parseStatistic(s string) (float64, error) {
	s = strings.ToLower(s)
	if s == "mean" || s == "avg" {
		return 0, nil
	}
	p, err := strconv.ParseFloat(strings.TrimPrefix(s, "p"), 64)
	if err != nil || !strings.HasPrefix(s, "p") || !(p >= 1 && p <= 99.999) {
		return 0, fmt.Errorf("the statistic %q is neither mean nor a percentile from p1 to p99.999", s)
	}
	return math.Round(p*1e5) / 1e7, nil // 99.9 becomes 0.999 and not 0.9990000000000001
}

// Statistic returns the name of the statistic: "mean" or "p99".
func (o Objective) Statistic() string {
	if o.Percentile == 0 {
		return "mean"
	}
	return "p" + strconv.FormatFloat(math.Round(o.Percentile*1e7)/1e5, 'f', -1, 64)
}

// String writes an objective in the form that Parse reads.
func (o Objective) String() string {
	limit := time.Duration(math.Round(o.Limit * float64(time.Second)))
	return fmt.Sprintf("%s:%s<%s", o.Metric, o.Statistic(), limit)
}

// Of returns the statistic of values, which must be sorted; NaN if there are none.
func (o Objective) Of(sorted []float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	if o.Percentile == 0 {
		sum := 0.0
		for _, v := range sorted {
			sum += v
		}
		return sum / float64(len(sorted))
	}
	return stats.Percentile(sorted, o.Percentile)
}
