package testcases

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// messages gives the lines of an error without the directory of its files.
func messages(err error, dir string) []string {
	if err == nil {
		return nil
	}
	return strings.Split(strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), ""), "\n  ")
}

// load writes files and loads the first.
func load(t *testing.T, files ...string) (*Loaded, []string) {
	t.Helper()
	dir := t.TempDir()
	for i, name := range []string{"own.yaml", "base.yaml"}[:len(files)] {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(files[i]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := Load(filepath.Join(dir, "own.yaml"))
	if err != nil && !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrNotFound) {
		t.Errorf("%v matches no sentinel", err)
	}
	return l, messages(err, dir)
}

// TestAFileTellsAllItsProblems: unknown keys, wrong types, values out of range and names of nothing, each with its
// line and in the file's order. Nobody should have to correct and check a file six times.
func TestAFileTellsAllItsProblems(t *testing.T) {
	_, got := load(t, `schema_version: 1
id: TC 1
nmae: six mistakes
targets: {latency_ms: fast, throughput_rps: 5, quality: 2}
limits: []
profiles:
  quick:
    - id: one
      kind: closed
      requests: 1.5
      durations: 3
    - {id: rate, kind: open, duration_s: -4}
    - {id: idle, kind: rest}
slo: {nope: "ttft:p99<2s", rate: "speed<3"}
checks:
  - {id: lat, clause: fast, rule: mean_latency, phase: one, target: targets.latency_ms}
  - {id: mem, clause: small, rule: mean, phase: one}
  - {id: p99, clause: fast, rule: percentile_latency, phase: two}
`)
	want := []string{"invalid test case:",
		`own.yaml:2: id: must be 1 to 64 letters, digits, dots, dashes or underscores, got "TC 1"`,
		`own.yaml:3: nmae: unknown key "nmae" (did you mean "name"?); known keys: schema_version, id, extends, name, ` +
			`category, level, priority, type, objective, component, traceability, environment, targets, limits, ` +
			`criteria, prompts, request, metrics, gpu_metrics, gpu_match, profiles, slo, checks`,
		`own.yaml:4: targets.latency_ms: must be a number, got "fast"`,
		"own.yaml:4: targets.quality: must be between 0 and 1, got 2",
		"own.yaml:5: limits: must be a mapping: KEY: VALUE on each line, got a list",
		"own.yaml:10: profiles.quick[0].requests: must be an integer, got 1.5",
		`own.yaml:11: profiles.quick[0].durations: unknown key "durations" (did you mean "duration_s"?); known keys: ` +
			strings.Join(phaseFields, ", "),
		"own.yaml:12: profiles.quick[1].duration_s: must be between 0 and 604800, got -4",
		"own.yaml:12: profiles.quick[1].duration_s: an open phase needs duration_s or requests",
		`own.yaml:13: profiles.quick[2].kind: must be one of warmup, closed, open, batch, idle, quality, sweep, audit, ` +
			`got "rest"`,
		`own.yaml:14: slo.rate: invalid objective: must be METRIC:STATISTIC<LIMIT, such as ttft:p99<2s, got "speed<3": ` +
			`it has no statistic`,
		`own.yaml:14: slo.nope: profile quick has no phase "nope"`,
		"own.yaml:17: checks[1].rule: must be one of " + list(ruleNames()) + `, got "mean"`,
		"own.yaml:18: checks[2].p: rule percentile_latency needs a percentile between 0 and 1 such as 0.99, got 0",
		`own.yaml:18: checks[2].phase: profile quick has no phase "two"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

const baseCase = `schema_version: 1
id: BASE
name: base
targets: {latency_ms: 100, throughput_rps: 5}
profiles:
  full:
    - {id: one, kind: closed, requests: 5}
    - {id: rate, kind: open, duration_s: 60, ramp_s: 10}
checks:
  - {id: lat, clause: fast, rule: mean_latency, phase: one}
`

// TestProblemsOfCasesThatExtendOthers: each has the line of the file that has the value, and its key there. A value of
// the other case that is wrong only beside this one's is this one's problem.
func TestProblemsOfCasesThatExtendOthers(t *testing.T) {
	start := "schema_version: 1\nid: OWN\nextends: base.yaml\n"
	for name, tt := range map[string]struct {
		own, base string
		want      []string
	}{
		"nothing wrong": {start + "profiles: {full: [{id: one, requests: null, duration_s: 5}]}\n", baseCase, nil},
		"an unknown key": {start + "targets:\n  latncy_ms: 5\n", baseCase, []string{`invalid test case: own.yaml:5: ` +
			`targets.latncy_ms: unknown key "latncy_ms" (did you mean "latency_ms"?); known keys: latency_ms, ` +
			`throughput_rps, quality, memory_gb, cpu_cores, concurrency, ttft_ms, tpot_ms, itl_ms, goodput`}},
		"values and names": {start + "slo: {nope: 'ttft:p99<2s'}\nprofiles:\n  full:\n    - id: rate\n      rps: -4\n",
			baseCase, []string{"invalid test case:", `own.yaml:4: slo.nope: profile full has no phase "nope"`,
				"own.yaml:8: profiles.full[0].rps: must be between 0 and 1e+06, got -4"}},
		"a new phase": {start + "profiles:\n  full:\n    - {id: new, kind: closed}\n", baseCase,
			[]string{"invalid test case: own.yaml:6: profiles.full[0].duration_s: a closed phase needs duration_s " +
				"or requests"}},
		"what the other case needs is gone": {start + "targets:\n  throughput_rps: null\n", baseCase,
			[]string{"invalid test case: own.yaml:3: profiles.full[1].rps: needs a rate here or in " +
				"targets.throughput_rps (the key is that of base.yaml:8, which this case extends)"}},
		"together": {start + "profiles:\n  full:\n    - id: rate\n      duration_s: 4\n", baseCase,
			[]string{"invalid test case: own.yaml:6: profiles.full[1].ramp_s: must be below duration_s (4), got 10: " +
				"nothing would be left to judge (the key is that of base.yaml:8, which this case extends)"}},
		"only the other case": {start, strings.Replace(baseCase, "requests: 5", "requests: -5, requets: 1", 1),
			[]string{"invalid test case:", `base.yaml:7: profiles.full[0].requets: unknown key "requets" (did you mean ` +
				`"requests"?); known keys: ` + strings.Join(phaseFields, ", "),
				"base.yaml:7: profiles.full[0].requests: must be between 0 and 100000000, got -5"}},
		"both": {start + "request: {max_tokens: 0}\n", strings.Replace(baseCase, "latency_ms: 100", "latency_ms: x",
			1),
			[]string{"invalid test case:", "own.yaml:4: request.max_tokens: must be between 1 and 1048576, got 0",
				`base.yaml:4: targets.latency_ms: must be a number, got "x"`}},
		"another case that is not there": {"schema_version: 1\nid: OWN\nextends: TC-none\nrequest: {max_tokens: 0}\n" +
			"targets: 3\n", baseCase, []string{"invalid test case:", `own.yaml:3: extends: no such test case: "TC-none" ` +
			`is neither a file nor a built-in case; built-in cases: ` + strings.Join(List(), ", "),
			"own.yaml:4: request.max_tokens: must be between 1 and 1048576, got 0",
			`own.yaml:5: targets: must be a mapping: KEY: VALUE on each line, got "3"`}},
		"no text": {"schema_version: 1\nid: OWN\nextends: 7\n", baseCase, []string{"invalid test case: own.yaml:3: " +
			"extends: must be the id of a built-in case, or the path of a case file, got 7"}},
		"itself": {"schema_version: 1\nid: OWN\nextends: own.yaml\n", baseCase, []string{"invalid test case: " +
			"own.yaml:3: extends: more than 8 cases extend each other"}},
		"not YAML": {start + "targets: {\n", baseCase, []string{"invalid test case: not valid YAML: own.yaml:4: " +
			"could not find flow mapping end token '}'\n   1 | schema_version: 1\n   2 | id: OWN\n   3 | extends: " +
			"base.yaml\n>  4 | targets: {\n                ^"}},
		"files that are not there": {start + "prompts: my.json\nprofiles: {full: [{id: one, traffic: {file: " +
			"a.jsonl, format: jsonl}}]}\n", baseCase, []string{"invalid test case:",
			"own.yaml:4: prompts: open my.json: no such file or directory",
			"own.yaml:5: profiles.full[0].traffic.file: open a.jsonl: no such file or directory"}},
	} {
		l, got := load(t, tt.own, tt.base)
		if name == "not YAML" {
			got = []string{strings.Join(got, "\n  ")}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" || (l == nil) != (tt.want != nil) {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

var phaseFields = []string{"id", "kind", "prompts", "concurrency", "rps", "arrivals", "burstiness", "stages",
	"traffic", "task", "sweep", "rps_factor", "requests", "duration_s", "ramp_s", "max_s", "max_tokens", "timeout_s",
	"keep_text", "compare_to"}

// TestASentinelIsKeptInAList: a case that is not there is told apart, whatever else is wrong.
func TestASentinelIsKeptInAList(t *testing.T) {
	path := filepath.Join(t.TempDir(), "own.yaml")
	if err := os.WriteFile(path, []byte("id: [1]\nextends: TC-none\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); !errors.Is(err, ErrNotFound) || !errors.Is(err, ErrInvalid) || len(Problems(err)) != 2 {
		t.Error(err)
	}
}

var (
	goWords = regexp.MustCompile(`(?i)unmarshal|struct field|float64|\bint\b|interface|panic|runtime|goccy|\bnil\b|json:`)
	lineOf  = regexp.MustCompile(`(?m)^(?:invalid test case: |  )?line (\d+): `)
)

// tellsPlaces says what is wrong with an error about a text: each problem must have a line that the text has, and no
// word that only a programmer knows.
func tellsPlaces(err error, text string) error {
	if !errors.Is(err, ErrInvalid) {
		return fmt.Errorf("not ErrInvalid: %w", err)
	}
	if word := goWords.FindString(err.Error()); word != "" && !strings.Contains(text, word) {
		return fmt.Errorf("%q in %w", word, err)
	}
	for _, p := range Problems(err) {
		if !strings.HasPrefix(p.Place, "line ") {
			return fmt.Errorf("no line: %w", p)
		}
	}
	for _, m := range lineOf.FindAllStringSubmatch(err.Error(), -1) {
		if n, _ := strconv.Atoi(m[1]); n < 1 || n > 1+strings.Count(text, "\n") {
			return fmt.Errorf("there is no line %d: %w", n, err)
		}
	}
	return nil
}

// FuzzExtends checks that whatever extends a case is a case, or has errors that name a line of one of the two files.
func FuzzExtends(f *testing.F) {
	f.Add("targets: {latency_ms: x}\n")
	f.Add("profiles: {full: [{id: chat, rps: -4}, {id: chat}, 7]}\n")
	f.Add("profiles: {full: {a: b}}\nchecks: null\nslo: {chat: x}\n")
	f.Add("profiles: [&a [*a]]\n? x\n: y\nname: a\nname: b\n")
	f.Add("profiles: {full: [{kind: closed}]}\nrequest: {body: {a: [&a {b: *a}]}}\n")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "extends") {
			return // it could name any file of this machine
		}
		text = "schema_version: 1\nid: OWN\nextends: CHAT-INTERACTIVE\n" + text
		s, err := extended("own.yaml", []byte(text), "")
		if err == nil {
			_, err = s.parse()
		}
		if err == nil {
			return
		}
		if !errors.Is(err, ErrInvalid) {
			t.Fatalf("not ErrInvalid: %v", err)
		}
		builtinFile, _, _ := readSource("CHAT-INTERACTIVE")
		for _, p := range Problems(err) {
			name, number, _ := strings.Cut(p.Place, ":")
			n, _ := strconv.Atoi(number)
			of := map[string]string{"own.yaml": text, "CHAT-INTERACTIVE": string(builtinFile)}[name]
			if n < 1 || n > 1+strings.Count(of, "\n") || of == "" {
				t.Errorf("no such place: %v", p)
			}
		}
	})
}
