package console

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/base/store/open"
)

func (k *Console) databaseName() string {
	if k.c.Database == open.None {
		return ""
	}
	return open.Name(k.c.Database)
}

// reportPage is one run.
type reportPage struct {
	Row
	Content  any      // data of the template "content"
	Record   bool     // the record is available
	Before   *Row     // the run of the same case and profile before this one
	Problems []string // reasons why there are no plots
}

func (k *Console) report(w http.ResponseWriter, r *http.Request) {
	l, err := k.source.load(r.Context(), r.PathValue("id"))
	if err != nil {
		k.fail(w, r, err)
		return
	}
	p := reportPage{Row: l.Row}
	s, err := k.source.series(r.Context(), l)
	if err != nil {
		p.Problems = append(p.Problems, "There are no plots: "+err.Error())
	}
	_, p.Record = l.record()
	if !p.Record {
		p.Problems = append(p.Problems, "The run's record is not at hand, so there are no plots over time.")
	}
	for _, target := range []string{l.Target, ""} { // of the same server, or else of any
		rows, _ := k.source.list(r.Context(), filter{Case: l.Case, Profile: l.Profile, Target: target,
			Until: l.Start}, 1)
		if len(rows) > 0 {
			p.Before = &rows[0]
			break
		}
	}
	p.Content = report.View(l.report, s, l.signatures()...)
	k.show(w, r, http.StatusOK, "report", l.Status+" · "+l.Case, "", p)
}

// ownPolicy is the policy of a report's own page: its style is part of the page. It can load nothing, and has no
// access to the console, even if somebody replaced the file with another page.
const ownPolicy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox allow-popups; " +
	"frame-ancestors 'none'; form-action 'none'; base-uri 'none'"

// ownPage sends the page that the run wrote, or makes it again if the run is only in the database.
func (k *Console) ownPage(w http.ResponseWriter, r *http.Request) {
	l, err := k.source.load(r.Context(), r.PathValue("id"))
	if err != nil {
		k.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Security-Policy", ownPolicy)
	if f, err := os.Open(l.paths.HTML); err == nil && l.paths.HTML != "" {
		defer f.Close()
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			http.ServeContent(w, r, "", info.ModTime(), f)
			return
		}
	}
	s, _ := k.source.series(r.Context(), l) // without an error: the report is shown without plots
	var b bytes.Buffer
	if err := report.WriteHTML(&b, l.report, s, l.signatures()...); err != nil {
		k.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(b.Bytes())
}

func (k *Console) ownJSON(w http.ResponseWriter, r *http.Request) {
	l, err := k.source.load(r.Context(), r.PathValue("id"))
	if err != nil {
		k.fail(w, r, err)
		return
	}
	download(w, "application/json", filepath.Base(report.PathsFor("", l.report).JSON))
	_, _ = w.Write(l.data)
}

func (k *Console) ownRecord(w http.ResponseWriter, r *http.Request) {
	l, err := k.source.load(r.Context(), r.PathValue("id"))
	if err != nil {
		k.fail(w, r, err)
		return
	}
	f, err := os.Open(l.paths.Events)
	if err != nil || l.paths.Events == "" {
		k.say(w, r, http.StatusNotFound, "There is no record", "The run's record of events is not in the directory "+
			"of reports that this console reads.")
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		k.fail(w, r, err)
		return
	}
	download(w, "application/gzip", filepath.Base(l.paths.Events))
	http.ServeContent(w, r, "", info.ModTime(), f)
}

// download makes an answer a file to download. Names of reports' files need no quoting.
func download(w http.ResponseWriter, kind, name string) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
}
