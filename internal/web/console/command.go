package console

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/hxp-enterprise/mixtral/testcases"
)

const (
	mostForm  = 64 << 10 // bytes of a form
	mostField = 2000     // bytes of a field
	mostLines = 50       // per field with several values
)

// errForm is matched by errors about a form.
var errForm = errors.New("the form cannot be used")

// Form has the settings of a run. Its fields are flags of mixtral certify.
type Form struct {
	Case, Profile, Target, TargetModel, Model, KeyEnv, Sweep, SweepStep, Against, Seed string
	SLO, Set                                                                           []string
}

// sentForm reads the fields of a form that was sent.
func sentForm(w http.ResponseWriter, r *http.Request) (Form, error) {
	r.Body = http.MaxBytesReader(w, r.Body, mostForm)
	if err := r.ParseForm(); err != nil {
		return Form{}, fmt.Errorf("%w: %w", errForm, err)
	}
	return readForm(r), nil
}

// readForm reads a form's fields.
func readForm(r *http.Request) Form {
	get := func(name string) string { return strings.TrimSpace(r.FormValue(name)) }
	lines := func(name string) (out []string) {
		for line := range strings.Lines(r.FormValue(name)) {
			if line = strings.TrimSpace(line); line != "" {
				out = append(out, line)
			}
		}
		return out
	}
	return Form{Case: get("case"), Profile: get("profile"), Target: get("target"), TargetModel: get("target-model"),
		Model: get("model"), KeyEnv: get("api-key-env"), Sweep: get("sweep"), SweepStep: get("sweep-step"),
		Against: get("against"), Seed: get("seed"), SLO: lines("slo"), Set: lines("set")}
}

// Args returns the program's arguments, without its name. A value is one argument together with its flag, so it cannot
// become a flag itself, and no shell reads it. keys are the environment variables that may hold the target's key.
func (f Form) Args(dir string, keys []string) ([]string, error) {
	if err := f.check(keys); err != nil {
		return nil, err
	}
	args := []string{"certify"}
	add := func(flag, value string) {
		if value != "" {
			args = append(args, "--"+flag+"="+value)
		}
	}
	if f.Profile != "quick" {
		add("profile", f.Profile)
	}
	add("target", f.Target)
	add("target-model", f.TargetModel)
	add("model", f.Model)
	add("api-key-env", f.KeyEnv)
	for _, s := range f.SLO {
		add("slo", s)
	}
	for _, s := range f.Set {
		add("set", s)
	}
	add("sweep", f.Sweep)
	if f.Sweep != "" {
		add("sweep-step", f.SweepStep)
	}
	add("against", f.Against)
	add("seed", f.Seed)
	if dir != "reports" {
		add("report-dir", dir)
	}
	if f.Case != "" {
		args = append(args, f.Case)
	}
	return args, nil
}

var sweepForm = regexp.MustCompile(`^(rate|concurrency)(=[0-9.]+\.\.[0-9.]+)?$`)

// check refuses what certify would refuse, and names the field.
func (f Form) check(keys []string) error {
	one := map[string]string{"case": f.Case, "profile": f.Profile, "target": f.Target, "target model": f.TargetModel,
		"model": f.Model, "API key": f.KeyEnv, "sweep": f.Sweep, "step": f.SweepStep, "against": f.Against,
		"seed": f.Seed}
	lists := map[string][]string{"objectives": f.SLO, "overrides": f.Set}
	for _, name := range slices.Sorted(maps.Keys(lists)) { // the same error each time
		list := lists[name]
		if len(list) > mostLines {
			return fmt.Errorf("%w: %s: at most %d lines, got %d", errForm, name, mostLines, len(list))
		}
		for i, s := range list {
			one[name+", line "+strconv.Itoa(i+1)] = s
		}
	}
	for _, name := range slices.Sorted(maps.Keys(one)) {
		switch value := one[name]; {
		case len(value) > mostField:
			return fmt.Errorf("%w: %s: at most %d bytes, got %d", errForm, name, mostField, len(value))
		case strings.ContainsFunc(value, unicode.IsControl):
			return fmt.Errorf("%w: %s: must be one line without control characters, got %q", errForm, name, value)
		}
	}
	_, badSeed := strconv.ParseInt(f.Seed, 10, 64)
	step, badStep := time.ParseDuration(f.SweepStep)
	switch {
	case strings.HasPrefix(f.Case, "-"):
		return fmt.Errorf("%w: case: must be a built-in case or the path of a case file, got %q", errForm, f.Case)
	case f.Target != "" && f.Model != "":
		return fmt.Errorf("%w: give either a target or a model to serve, not both", errForm)
	case f.Target != "" && !strings.HasPrefix(f.Target, "http://") && !strings.HasPrefix(f.Target, "https://"):
		return fmt.Errorf("%w: target: must begin with http:// or https://, got %q", errForm, f.Target)
	case f.KeyEnv != "" && !slices.Contains(keys, f.KeyEnv):
		return fmt.Errorf("%w: API key: must be one of the variables that this console was given, got %q; "+
			"variables: %s", errForm, f.KeyEnv, strings.Join(keys, ", "))
	case f.Sweep != "" && !sweepForm.MatchString(f.Sweep):
		return fmt.Errorf("%w: sweep: must be rate or concurrency, alone or as rate=1..64, got %q", errForm, f.Sweep)
	case f.SweepStep != "" && (badStep != nil || step < time.Second || step > time.Hour):
		return fmt.Errorf("%w: step: must be a time between 1s and 1h, such as 10s, got %q", errForm, f.SweepStep)
	case f.Seed != "" && badSeed != nil:
		return fmt.Errorf("%w: seed: must be a whole number, got %q", errForm, f.Seed)
	}
	return nil
}

// plainWord needs no quotes in a shell.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// CommandLine writes arguments as one would type them in a shell, for people to read and copy.
func CommandLine(args []string) string {
	words := []string{"mixtral"}
	for _, a := range args {
		if !plainWord.MatchString(a) {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		words = append(words, a)
	}
	return strings.Join(words, " ")
}

// startPage shows the form and the run that was started.
type startPage struct {
	Form     Form
	SLO, Set string // as they were typed
	Cases    []string
	Profiles []string
	Keys     []string
	Command  string
	Problem  string
	State    childView
}

func (k *Console) startPage(w http.ResponseWriter, r *http.Request) {
	k.showStart(w, r, http.StatusOK, readForm(r), "")
}

func (k *Console) showStart(w http.ResponseWriter, r *http.Request, status int, f Form, problem string) {
	if k.c.Start == nil {
		k.say(w, r, http.StatusNotFound, "This console starts no runs", "mixtral console starts runs; this one "+
			"belongs to a run that was started already.")
		return
	}
	p := startPage{Form: f, SLO: strings.Join(f.SLO, "\n"), Set: strings.Join(f.Set, "\n"), Cases: testcases.List(),
		Profiles: builtInProfiles(), Keys: k.c.Start.KeyEnvs, Problem: problem, State: k.childView()}
	args, err := f.Args(k.c.Dir, k.c.Start.KeyEnvs)
	if err == nil {
		p.Command = CommandLine(args)
	} else if problem == "" {
		p.Problem = err.Error()
	}
	k.show(w, r, status, "start", "Start a run", "/start", p)
}

// builtInProfiles are the names of the profiles of the cases in this program.
var builtInProfiles = sync.OnceValue(func() (names []string) {
	for _, id := range testcases.List() {
		if l, err := testcases.Load(id); err == nil {
			for name := range l.Case.Profiles {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
})

// startCommand returns the command line of a form as text.
func (k *Console) startCommand(w http.ResponseWriter, r *http.Request) {
	if k.c.Start == nil {
		http.Error(w, "this console starts no runs", http.StatusNotFound)
		return
	}
	f, err := sentForm(w, r)
	var args []string
	if err == nil {
		args, err = f.Args(k.c.Dir, k.c.Start.KeyEnvs)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprint(w, CommandLine(args))
}

func (k *Console) startRun(w http.ResponseWriter, r *http.Request) {
	f, err := sentForm(w, r)
	if k.c.Start == nil {
		k.showStart(w, r, http.StatusNotFound, f, "")
		return
	}
	var args []string
	if err == nil {
		args, err = f.Args(k.c.Dir, k.c.Start.KeyEnvs)
	}
	if err != nil {
		k.showStart(w, r, http.StatusUnprocessableEntity, f, err.Error())
		return
	}
	if err := k.c.Start.Run(args); err != nil {
		status := http.StatusInternalServerError
		if errors.Is(err, ErrBusy) {
			status = http.StatusConflict
		}
		k.showStart(w, r, status, f, err.Error())
		return
	}
	http.Redirect(w, r, "/start#run", http.StatusSeeOther)
}

func (k *Console) stopRun(w http.ResponseWriter, r *http.Request) {
	if k.c.Start != nil {
		k.c.Start.Stop()
	}
	http.Redirect(w, r, "/start#run", http.StatusSeeOther)
}

// startStream sends the state of the run that the form started.
func (k *Console) startStream(w http.ResponseWriter, r *http.Request) {
	if k.c.Start == nil {
		http.Error(w, "this console starts no runs", http.StatusNotFound)
		return
	}
	events := newEvents(w)
	for last := ""; ; {
		s := k.childView()
		pic := picture{Regions: regions{"run": k.drawChild(s)}, Final: !s.Running}
		if pic.Regions["run"] != last || pic.Final {
			if last = pic.Regions["run"]; events.send(pic) != nil || pic.Final {
				return
			}
		}
		select {
		case <-time.After(lookEvery * 2):
		case <-r.Context().Done():
			return
		case <-k.hub.ctx.Done():
			return
		}
	}
}

// childView returns the run that the form started, with its record: the one that has been written since then.
func (k *Console) childView() childView {
	s := k.c.Start.State()
	return childView{s, k.recordSince(s)}
}

func (k *Console) drawChild(s childView) string {
	var b strings.Builder
	if err := k.pages["start"].ExecuteTemplate(&b, "child", s); err != nil {
		k.c.Log.Error("a part of a page could not be made", "part", "child", "err", err)
	}
	return strings.TrimSpace(b.String())
}

type childView struct {
	ChildState
	Record string // the name of its record; empty: there is none yet
}

func (k *Console) recordSince(s ChildState) string {
	if !s.Running {
		return ""
	}
	for _, rec := range k.records.list() {
		if rec.Running && !rec.Start.Before(s.Started.Add(-time.Second)) {
			return rec.Name
		}
	}
	return ""
}
