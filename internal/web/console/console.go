package console

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/base/store"
	"github.com/hxp-enterprise/mixtral/internal/certify/live"
	"github.com/hxp-enterprise/mixtral/internal/web/look"
)

//go:embed assets
var assets embed.FS

// Config says what a console shows, and to whom.
type Config struct {
	Database string // as in --database-url; "none": no database
	Dir      string // of reports and records; empty: none
	Version  string // of the program

	Host func(*http.Request) error // checks the host name that a request uses; nil: any name is allowed
	Key  func(key string) bool     // says whether a key is valid; nil: no key is needed

	Verify http.Handler // the page that verifies reports; nil: there is none
	Start  *Starter     // starts runs; nil: none can be started

	// Current returns the record of the run of this process; it is empty until the run has begun. nil: this process
	// runs none.
	Current func() string

	Log *slog.Logger // nil: no logs
}

// Console is a console that answers requests. Close it.
type Console struct {
	c       Config
	source  *source
	records *records
	hub     *hub
	guard   *guard
	pages   map[string]*template.Template
	handler http.Handler

	compared struct {
		sync.Mutex
		list []compared // the newest first
	}
}

// New makes a console.
func New(c Config) *Console {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	k := &Console{c: c, source: newSource(c.Database, c.Dir), records: newRecords(c.Dir),
		guard: newGuard(c.Host, c.Key), pages: map[string]*template.Template{}}
	base := template.Must(report.Templates().Funcs(funcs).ParseFS(assets, "assets/frame.html"))
	for _, name := range []string{"list", "report", "trend", "compare", "live", "start", "login", "message"} {
		k.pages[name] = template.Must(template.Must(base.Clone()).ParseFS(assets, "assets/"+name+".html"))
	}
	k.hub = newHub(k.draw)
	k.handler = k.guard.wrap(k.routes(), func(path string) bool {
		return path == "/login" || strings.HasPrefix(path, "/assets/")
	})
	return k
}

// ServeHTTP answers a request.
func (k *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) { k.handler.ServeHTTP(w, r) }

// Close ends everything that the console follows, and stops a run that it started, which leaves a report.
func (k *Console) Close() error {
	k.hub.close()
	var err error
	if k.c.Start != nil {
		err = k.c.Start.Close()
	}
	return errors.Join(err, k.source.close())
}

// Settle waits until those who watch have seen the verdict, but no longer than ctx lasts.
func (k *Console) Settle(ctx context.Context) { k.hub.settle(ctx) }

func (k *Console) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", k.list)
	mux.HandleFunc("GET /runs/{id}", k.report)
	mux.HandleFunc("GET /runs/{id}/report.html", k.ownPage)
	mux.HandleFunc("GET /runs/{id}/report.json", k.ownJSON)
	mux.HandleFunc("GET /runs/{id}/events.jsonl.gz", k.ownRecord)
	mux.HandleFunc("GET /trend", k.trend)
	mux.HandleFunc("GET /compare", k.compare)
	mux.HandleFunc("GET /live/{name}", k.live)
	mux.HandleFunc("GET /live/{name}/stream", k.stream)
	mux.HandleFunc("GET /start", k.startPage)
	mux.HandleFunc("POST /start/command", k.startCommand)
	mux.HandleFunc("POST /start", k.startRun)
	mux.HandleFunc("POST /stop", k.stopRun)
	mux.HandleFunc("GET /start/stream", k.startStream)
	mux.HandleFunc("GET /verify", k.verify)
	mux.HandleFunc("GET /login", k.loginPage)
	mux.HandleFunc("POST /login", k.login)
	mux.HandleFunc("POST /logout", k.logout)
	css := bytes.Join([][]byte{look.CSS, []byte(report.CSS()), asset("console.css")}, []byte("\n"))
	mux.Handle("GET /assets/console.css", look.File("text/css; charset=utf-8", css))
	mux.Handle("GET /assets/console.js", look.File("text/javascript; charset=utf-8", asset("console.js")))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		k.say(w, r, http.StatusNotFound, "This page does not exist", "The console has no page at "+r.URL.Path+".")
	})
	return mux
}

func asset(name string) []byte {
	data, err := assets.ReadFile("assets/" + name)
	if err != nil {
		panic(err) // a template of the program
	}
	return data
}

// headers sets the headers of every answer: those of the other console, except that forms may be sent to this origin.
func headers(h http.Header) {
	look.Headers(h)
	h.Set("Content-Security-Policy", strings.Replace(look.Policy, "form-action 'none'", "form-action 'self'", 1))
	h.Set("Cache-Control", "no-store")
}

// frame is what the frame of every page shows.
type frame struct {
	Title, At, Version string
	Links              []link
	Running            []Record
	Keys               bool // somebody can log out
	Page               any
}

type link struct{ Path, Title string }

// show sends a page.
func (k *Console) show(w http.ResponseWriter, r *http.Request, status int, name, title, at string, data any) {
	f := frame{Title: title, At: at, Version: k.c.Version, Keys: k.c.Key != nil, Page: data}
	if name != "login" {
		f.Links = []link{{"/", "Runs"}, {"/trend", "Trends"}, {"/compare", "Compare"}}
		if k.c.Current != nil {
			f.Links = append([]link{{"/live/current", "Live"}}, f.Links...)
		}
		if k.c.Start != nil {
			f.Links = append(f.Links, link{"/start", "Start a run"})
		}
		f.Links = append(f.Links, link{"/verify", "Verify"})
	}
	var b bytes.Buffer
	if err := k.pages[name].ExecuteTemplate(&b, "frame", f); err != nil {
		k.c.Log.Error("a page could not be made", "page", name, "err", err)
		http.Error(w, "the page could not be made: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(b.Bytes()) // a client that has left needs no error
	}
}

// message is a page with a message.
type message struct{ Head, Text string }

func (k *Console) say(w http.ResponseWriter, r *http.Request, status int, head, text string) {
	k.show(w, r, status, "message", head, "", message{head, text})
}

// fail sends the page of an error.
func (k *Console) fail(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, errNoRun), errors.Is(err, store.ErrNotFound):
		k.say(w, r, http.StatusNotFound, "There is no such run", err.Error())
	case errors.Is(err, store.ErrAmbiguous):
		k.say(w, r, http.StatusBadRequest, "Which run?", err.Error())
	case r.Context().Err() != nil:
	default:
		k.say(w, r, http.StatusInternalServerError, "That did not work", err.Error())
	}
}

func (k *Console) verify(w http.ResponseWriter, r *http.Request) {
	if k.c.Verify == nil {
		k.show(w, r, http.StatusOK, "message", "Verify", "/verify", message{"Verify a report in the browser",
			"The page that verifies reports in a browser is one file, verify.html, which every release has. " +
				"Put it beside the program, or name it with --verify-page, and it is shown here. On a command line, " +
				"mixtral report verify does the same."})
		return
	}
	w.Header().Del("Content-Security-Policy") // the page has a stricter one of its own
	k.c.Verify.ServeHTTP(w, r)
}

func (k *Console) loginPage(w http.ResponseWriter, r *http.Request) {
	k.show(w, r, http.StatusOK, "login", "Log in", "", loginForm{To: back(r.FormValue("to"))})
}

type loginForm struct{ To, Problem string }

func (k *Console) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, mostForm)
	to := back(r.PostFormValue("to"))
	if !k.guard.login(w, r, r.PostFormValue("key")) {
		k.show(w, r, http.StatusUnauthorized, "login", "Log in", "", loginForm{to, "The API key is not valid."})
		return
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func (k *Console) logout(w http.ResponseWriter, r *http.Request) {
	k.guard.logout(w, r)
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// funcs are the templates' functions, besides those of reports.
var funcs = template.FuncMap{
	"when":  func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") },
	"exact": func(t time.Time) string { return t.UTC().Format(time.DateTime) },
	"iso":   func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"took":  took, "version": report.ShortVersion,
	"short": func(s string, n int) string {
		if r := []rune(s); len(r) > n {
			return string(r[:n-1]) + "…"
		}
		return s
	},
	"quant": quantileText, "waiting": loadNames, "times": timesOf,
	"phaseclass": func(s live.PhaseState) string {
		return map[live.PhaseState]string{live.Planned: "planned", live.UnderWay: "running", live.Done: "done",
			live.Cut:     "cut",
			live.Skipped: "skipped"}[s]
	},
	"checkclass": checkClass, "unsampled": unsampled,
	// a verdict is a text in lists, and has a type in reports
}

// took writes a duration as people do.
func took(d time.Duration) string {
	switch {
	case d < 0:
		return "0 s"
	case d < 10*time.Second:
		return report.Number(d.Round(time.Second/10).Seconds()) + " s"
	case d < 2*time.Minute:
		return report.Number(float64(d.Round(time.Second)/time.Second)) + " s"
	case d < 3*time.Hour:
		return report.Number(float64(d.Round(time.Minute)/time.Minute)) + " min"
	}
	return report.Number(float64(d.Round(6*time.Minute)/(6*time.Minute))/10) + " h"
}
