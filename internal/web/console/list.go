package console

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/report"
)

// perPage is the number of runs on a page.
const perPage = 100

// listPage is the list of runs.
type listPage struct {
	Form     listForm
	Cases    []string
	Verdicts []string
	Rows     []Row
	Records  []Record
	Problems []string
	Older    string // the address of the next page; empty: this is the last one
	Filtered bool
	Dir      string
	Database string
	CanStart bool
}

// listForm is the filter as it was typed.
type listForm struct{ Case, Verdict, Target, From, To, Text string }

// readFilter reads a filter's fields. Dates are days in UTC, and both are included.
func readFilter(r *http.Request) (form listForm, f filter, problems []string) {
	get := func(name string) string { return strings.TrimSpace(r.FormValue(name)) }
	form = listForm{get("case"), get("verdict"), get("target"), get("from"), get("to"), get("text")}
	f = filter{Case: form.Case, Status: form.Verdict, Target: form.Target, Text: form.Text}
	if f.Status != "" && !slices.Contains(verdicts, f.Status) {
		problems = append(problems, "verdict: must be PASS, FAIL or INVALID, is "+strconv.Quote(f.Status))
	}
	day := func(name, text string) time.Time {
		if text == "" {
			return time.Time{}
		}
		t, err := time.Parse(time.DateOnly, text)
		if err != nil {
			problems = append(problems, name+": must be a day such as 2026-01-31, is "+strconv.Quote(text))
		}
		return t
	}
	f.Since = day("from", form.From)
	if f.Until = day("to", form.To); !f.Until.IsZero() {
		f.Until = f.Until.AddDate(0, 0, 1)
	}
	return form, f, problems
}

var verdicts = []string{string(report.Pass), string(report.Fail), string(report.Invalid)}

func (k *Console) list(w http.ResponseWriter, r *http.Request) {
	form, f, problems := readFilter(r)
	p := listPage{Form: form, Verdicts: verdicts, Cases: k.source.cases(r.Context()), Problems: problems,
		Filtered: form != listForm{}, Dir: k.c.Dir, Records: k.records.list(), CanStart: k.c.Start != nil,
		Database: k.databaseName()}
	if us, err := strconv.ParseInt(r.FormValue("before"), 10, 64); err == nil {
		if at := time.UnixMicro(us); f.Until.IsZero() || at.Before(f.Until) {
			f.Until = at
		}
		p.Records = nil
	}
	status := http.StatusOK
	if len(problems) > 0 {
		status = http.StatusBadRequest
	} else {
		var wrong []string
		p.Rows, wrong = k.source.list(r.Context(), f, perPage+1)
		p.Problems = append(p.Problems, wrong...)
	}
	if len(p.Rows) > perPage {
		p.Rows = p.Rows[:perPage]
		q := url.Values{"before": {strconv.FormatInt(p.Rows[perPage-1].Start.UnixMicro(), 10)}}
		for name, value := range map[string]string{"case": form.Case, "verdict": form.Verdict, "target": form.Target,
			"from": form.From, "to": form.To, "text": form.Text} {
			if value != "" {
				q.Set(name, value)
			}
		}
		p.Older = "/?" + q.Encode()
	}
	k.show(w, r, status, "list", "Runs", "/", p)
}
