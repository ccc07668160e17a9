package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var update = flag.Bool("update", false, "rewrite the golden files and the schema")

// sample is a small report with a check of every verdict and a model name that attacks the reader.
func sample() *Report {
	f := func(x float64) *float64 { return &x }
	evil := `</td><script>alert(1)</script>"&` + "\u202e\x1b[31m\x00"
	return &Report{
		TestCase: "TC-L1-COMP-MIXTRAL-003", Timestamp: 1772600767.25, Status: Fail, SchemaVersion: 1, Profile: "quick",
		Summary: Summary{AvgLatencyMS: f(412.5), AvgThroughputRPS: f(51.2), AvgQualityScore: f(0.62),
			PeakMemoryGB: f(27.1)},
		Targets: Targets{LatencyMS: 2000, ThroughputRPS: 50, Quality: 0.8, MemoryGB: 90, CPUCores: 8},
		Notices: []string{"Profile \"quick\": every phase is present but short."},
		Arithmetic: "Little's law, L = λW: 10 requests in flight that complete at 50 requests/s take 200 ms " +
			"each on average.",
		Preconditions: []Precondition{{ID: "ready", OK: true, Detail: "it answers"}, {ID: "resources", Detail: evil}},
		Checks: []Check{
			{ID: "latency-single", Clause: "Single request latency < 2000ms", Covers: []string{"V1"}, Phase: "single",
				Measured: f(412.5), Interval: &[2]float64{390, 436}, Op: "<", Target: f(2000), Unit: "ms",
				Verdict: Pass, Reason: "mean of 64 requests", Gate: true},
			{ID: "quality", Clause: "Response quality score >= 0.8", Measured: f(0.62), Op: ">=", Target: f(0.8),
				Unit: "score", Verdict: Fail, Reason: "it cost most: " + evil, Gate: true},
			{ID: "cpu", Clause: "CPU usage <= 8 cores", Op: "<=", Target: f(8), Unit: "cores", Verdict: Invalid,
				Reason: "CPU was not observed (source: none)", Gate: true},
			{ID: "batch", Clause: "Batch request throughput >= 50 RPS", Measured: f(31.4),
				Interval: &[2]float64{21, 45}, Op: ">=", Target: f(50), Unit: "requests/s", Verdict: Info,
				Reason: "not a gate; as one it would be FAIL: 50 of 50 requests at once were answered"},
		},
		Phases: []Phase{{ID: "single", Kind: "closed", Concurrency: 1, StartS: 3, DurationS: 27, SteadyToS: 30,
			Scheduled: 64, Issued: 64, Completed: 63, Failed: 1, Failures: map[string]int{"timeout": 1}, RPS: 2.3,
			Latency: &Dist{N: 64, Mean: 412.5, MeanLow: 390, MeanHigh: 436, Min: 300, P50: f(410), P90: f(500),
				Max: 611, NEff: 60}}},
		Quality: Quality{Score: f(0.62), N: 9, PerPrompt: map[string]float64{"generation/creative": 0.62,
			evil: 0.1}, Samples: []QualitySample{{Prompt: evil, Text: evil, Score: 0.1, Why: []string{evil}}},
			Calibration: map[string]float64{"auc": 0.99}},
		Reconciliation: []Reconciled{{ID: "requests", Server: f(64), Client: f(64), Unit: "requests", Verdict: Pass,
			Reason: "equal"}},
		ClientError:  &ClientError{Streams: 10, RPS: 50, LimitMS: 20, WithinLimit: true},
		Resources:    Resources{Source: "none"},
		Environment:  map[string]string{"cpu": evil},
		Fingerprints: map[string]string{"seed": "1"},
		Case: CaseInfo{ID: "TC-L1-COMP-MIXTRAL-003", Name: "Mixtral Inference Performance",
			Criteria: map[string]string{"V1": "Single request latency < 2000ms", "V9": "nobody keeps this"}},
		Target: TargetInfo{Kind: "url", URL: "http://127.0.0.1:8000/v1", Model: evil},
		Evidence: Evidence{File: "performance_TC-L1-COMP-MIXTRAL-003_1772600767.events.jsonl.gz", Events: 3,
			SHA256: "00", Verify: "mixtral report verify x.json"},
	}
}

func sampleSeries() Series {
	var s Series
	s.Duration = 30
	for i := range 30 {
		s.Memory = append(s.Memory, Point{float64(i), 27 + 0.01*float64(i)})
		s.CPU = append(s.CPU, Point{float64(i), 6})
	}
	s.Spans = []Marker{{`<b>single</b>`, 0, 30}}
	s.Phases = []PhaseSeries{{ID: "single", Kind: "closed", Latency: s.Memory, LatencyECDF: []Point{{1, 0}, {2, 1}},
		SteadyTo: 30}}
	return s
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs from what is written; -update rewrites it\n%s", path, got)
	}
}

func TestSchemaIsCurrent(t *testing.T) {
	want, err := inferSchema()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("report.schema.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
		schemaJSON = want
	}
	if !bytes.Equal(Schema(), want) {
		t.Error("report.schema.json is not what the types say: go test ./certify/report -update")
	}
}

func TestJSONKeepsItsSchema(t *testing.T) {
	data, err := JSON(sample())
	if err != nil {
		t.Fatal(err)
	}
	if err := Validate(data); err != nil {
		t.Error(err)
	}
	for _, broken := range []string{`{}`, `[]`, strings.Replace(string(data), `"status": "FAIL"`, `"status": "GREAT"`,
		1), strings.Replace(string(data), `"checks": [`, `"checks": null, "x": [`, 1)} {
		if err := Validate([]byte(broken)); !errors.Is(err, ErrFormat) {
			t.Errorf("%.40s: %v, want ErrFormat", broken, err)
		}
	}
	if data[len(data)-1] != '\n' {
		t.Error("no newline at the end")
	}
	back, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	again, err := JSON(back)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(data, again) {
		t.Error("reading and writing changed the bytes")
	}
}

// The specification's own report has five keys. Ours begins with them, in the same order and under the same names.
func TestSeedKeys(t *testing.T) {
	data, err := JSON(sample())
	if err != nil {
		t.Fatal(err)
	}
	at := -1
	for _, key := range []string{"test_case", "timestamp", "summary", "avg_latency_ms", "avg_throughput_rps",
		"avg_quality_score", "peak_memory_gb", "peak_cpu_cores",
		"targets", "latency_target_ms", "throughput_target_rps", "quality_target", "memory_limit_gb",
		"cpu_limit_cores", "status"} {
		i := bytes.Index(data, []byte(`"`+key+`":`))
		if i <= at {
			t.Errorf("%s is missing or out of order", key)
		}
		at = i
	}
}

func TestParseRefuses(t *testing.T) {
	for _, s := range []string{"", "{", "null", "[]", `{"test_case":"x"}`,
		`{"test_case":"x","status":"PASS","schema_version":99}`, `{"test_case":"x","status":"PASS"}`,
		`{"test_case":1}`, "\x00\xff"} {
		if _, err := Parse([]byte(s)); !errors.Is(err, ErrFormat) {
			t.Errorf("%q: %v, want ErrFormat", s, err)
		}
	}
	for text, want := range map[string]string{"": "report: not a certification report: not JSON: it is empty",
		"# hello": "report: not a certification report: line 1: not JSON: got '#' where a value must begin: text in " +
			"double quotes, a number, a list, an object, true, false or null",
		"{\n\"timestamp\": []}": "report: not a certification report: line 2: timestamp: must be a number, got a " +
			"list"} {
		if _, err := Parse([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	data, err := JSON(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"test_case":"x","status":"PASS","schema_version":1,"checks":[{"measured":1e308,"target":1e-308,"interval":[-1,1e300]}],"phases":[{"latency_ms":{}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Parse(data)
		if err != nil {
			return
		}
		var b bytes.Buffer
		for _, write := range []func() error{
			func() error { return Text(&b, r) },
			func() error { return WriteJUnit(&b, r) },
			func() error { return WriteHTML(&b, r, Series{}) },
		} {
			b.Reset()
			if err := write(); err != nil {
				t.Error(err)
			}
		}
		Diff(r, r)
	})
}

func TestText(t *testing.T) {
	var b bytes.Buffer
	if err := Text(&b, sample()); err != nil {
		t.Fatal(err)
	}
	golden(t, "sample.txt", b.Bytes())
	for _, line := range strings.Split(b.String(), "\n") {
		if n := utf8.RuneCountInString(line); n > 110 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if strings.ContainsAny(b.String(), "\x1b\x00\u202e") {
		t.Error("a server's text reached the terminal raw")
	}
}

func TestJUnit(t *testing.T) {
	var b bytes.Buffer
	if err := WriteJUnit(&b, sample()); err != nil {
		t.Fatal(err)
	}
	golden(t, "sample.junit.xml", b.Bytes())
	var back struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Errors   int `xml:"errors,attr"`
		Cases    []struct {
			Name    string    `xml:"name,attr"`
			Failure *struct{} `xml:"failure"`
			Error   *struct{} `xml:"error"`
			Skipped *struct{} `xml:"skipped"`
		} `xml:"testsuite>testcase"`
	}
	if err := xml.Unmarshal(b.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if back.Tests != 4 || back.Failures != 1 || back.Errors != 1 || len(back.Cases) != 4 {
		t.Errorf("%+v", back)
	}
	if back.Cases[0].Failure != nil || back.Cases[1].Failure == nil || back.Cases[2].Error == nil ||
		back.Cases[3].Skipped == nil {
		t.Error("verdicts landed on the wrong cases")
	}
}

func TestHTMLEscapes(t *testing.T) {
	var b bytes.Buffer
	if err := WriteHTML(&b, sample(), sampleSeries()); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, bad := range []string{"<script", "<b>single", "http-equiv=\"refresh", "src=", "ZgotmplZ", "NaN", "Inf "} {
		if strings.Contains(page, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	for _, want := range []string{"TC-L1-COMP-MIXTRAL-003", "&lt;script&gt;", "FAIL", "Content-Security-Policy",
		"nobody keeps this", "no check", "Latency over time, phase single"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

func TestSave(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "reports")
	p, err := Save(dir, sample(), sampleSeries())
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "performance_TC-L1-COMP-MIXTRAL-003_1772600767.json"); p.JSON != want {
		t.Errorf("%s, want %s", p.JSON, want)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 3 {
		t.Errorf("%d files, want json, html and junit and no leftovers", len(files))
	}
	r, data, err := ReadFile(p.JSON)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := JSON(r); !bytes.Equal(again, data) {
		t.Error("what was read is not what was saved")
	}
	if _, err := Save("/dev/null/x", sample(), Series{}); err == nil {
		t.Error("saved below a file")
	}
}

// A hostile case ID or evidence name must not lead outside the directory.
func TestPathsStayInside(t *testing.T) {
	r := sample()
	r.TestCase = "../../etc/passwd"
	for _, name := range []string{"../../x", "..", ".", "", ".hidden", "a/b", `a\b`, "c:x", "/etc/x", "a\x00b",
		strings.Repeat("x", 300)} {
		for _, ext := range []string{"", EventsExt} {
			r.Evidence.File = name + ext
			p := PathsFor("reports", r)
			for _, path := range []string{p.JSON, p.HTML, p.JUnit, p.Events} {
				if filepath.Dir(path) != "reports" || !strings.HasPrefix(filepath.Base(path), "performance_") {
					t.Errorf("%q: %s", r.Evidence.File, path)
				}
			}
		}
	}
	r.Evidence.File = "mine" + EventsExt
	if p := PathsFor("reports", r); p.HTML != filepath.Join("reports", "mine"+HTMLExt) {
		t.Error(p.HTML)
	}
	if got := BaseName("a/b c", time.Unix(5, 0)); got != "performance_a-b-c_5" {
		t.Error(got)
	}
}

func TestNumber(t *testing.T) {
	for x, want := range map[float64]string{0: "0", 5: "5", 1234567: "1,234,567", -1234: "-1,234", 1234.56: "1,235",
		123.456: "123.5", 12.345: "12.35", 0.12345: "0.123", 0.5: "0.5", 0.00123: "0.00123", 100: "100", 2.50: "2.5"} {
		if got := Number(x); got != want {
			t.Errorf("Number(%v) = %s, want %s", x, got, want)
		}
	}
}

func TestMarshalIsStable(t *testing.T) {
	a, _ := JSON(sample())
	for range 20 {
		if b, _ := JSON(sample()); !bytes.Equal(a, b) {
			t.Fatal("the same report gave different bytes")
		}
	}
	if !json.Valid(a) {
		t.Error("no JSON")
	}
}

// Every text has a contrast of at least 4.5 to its background (WCAG AA), in light and dark mode.
func TestContrast(t *testing.T) {
	themes := regexp.MustCompile(`(?s):root \{(.*?)\}`).FindAllStringSubmatch(pageCSS, -1)
	if len(themes) != 3 {
		t.Fatalf("%d themes, want light, dark and print", len(themes))
	}
	for i, theme := range themes {
		colour := map[string]float64{}
		for _, m := range regexp.MustCompile(`--([a-z0-9-]+): #([0-9a-f]+)`).FindAllStringSubmatch(theme[1], -1) {
			colour[m[1]] = luminance(t, m[2])
		}
		for _, pair := range [][2]string{{"ink", "bg"}, {"ink", "panel"}, {"soft", "bg"}, {"soft", "panel"},
			{"soft", "band"}, {"soft", "off"}, {"pass", "pass-bg"}, {"fail", "fail-bg"},
			{"invalid", "invalid-bg"}, {"info", "info-bg"}, {"fail", "bg"}, {"invalid", "bg"}} {
			a, b := colour[pair[0]], colour[pair[1]]
			if ratio := (max(a, b) + 0.05) / (min(a, b) + 0.05); ratio < 4.5 {
				t.Errorf("theme %d: %s on %s has a contrast of %.2f", i, pair[0], pair[1], ratio)
			}
		}
	}
}

// luminance is WCAG's relative luminance of a colour.
func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	if len(hex) == 3 {
		hex = string([]byte{hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]})
	}
	rgb, err := strconv.ParseUint(hex, 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		c := float64(rgb>>(16-8*i)&255) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}
