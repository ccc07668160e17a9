// Package verifypage_test drops reports onto the page that verifies them, in a real Chromium.
package verifypage_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/hxp-enterprise/mixtral/certify/attest"
	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/judge"
	"github.com/hxp-enterprise/mixtral/test/browser"
)

const keys = "../../certify/attest/testdata/"

// built is the page, made once for all tests.
var built string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "verifypage")
	if err != nil {
		panic(err)
	}
	built = filepath.Join(dir, "verify.html")
	if _, err := exec.LookPath("chromium"); err == nil {
		cmd := exec.Command("go", "run", "./cmd/verify-page", "-o", built, "-version", "test")
		cmd.Dir, cmd.Stderr = "../..", os.Stderr
		if err := cmd.Run(); err != nil {
			panic(err)
		}
	}
	code := browser.Main(m)
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// run is a report with its record, as certify writes them, and signed.
type run struct {
	dir   string
	paths report.Paths
}

// smallRecord is the record of a run of twelve requests.
func smallRecord(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("../../cmd/mixtral/testdata/script/sign.txtar")
	if err != nil {
		t.Fatal(err)
	}
	_, record, ok := strings.Cut(string(data), "\n-- a.events.jsonl.gz --\n")
	if !ok {
		t.Fatal("there is no record in sign.txtar")
	}
	return record
}

// newRun judges a record and writes the files of its report.
func newRun(t *testing.T, record string, key string) run {
	t.Helper()
	d, err := judge.DeriveReader(t.Context(), "the record", strings.NewReader(record))
	if err != nil {
		t.Fatal(err)
	}
	r := d.Report
	dir := t.TempDir()
	p := report.PathsFor(dir, r)
	data, err := report.JSON(r)
	if err == nil {
		err = errors.Join(os.WriteFile(p.JSON, data, 0o644), os.WriteFile(p.Events, packed(t, record), 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		by, err := attest.ReadSigner(t.Context(), keys+key, attest.SignerOptions{})
		if err == nil {
			_, err = attest.SignFile(t.Context(), r, p, by)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return run{dir, p}
}

func packed(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	gz := gzip.NewWriter(&b)
	_, err := gz.Write([]byte(text))
	if err := errors.Join(err, gz.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// put writes a file into the run's folder.
func (r run) put(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// forged copies a file with a text replaced.
func (r run) forged(t *testing.T, path, name, old, with string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(data), old) {
		t.Fatalf("%s: no %q, %v", path, old, err)
	}
	return r.put(t, name, []byte(strings.Replace(string(data), old, with, 1)))
}

// open opens the page from its file. Whatever it tries to fetch fails the test, and so does an error of a script.
func open(t *testing.T) context.Context {
	t.Helper()
	ctx := browser.Tab(t)
	chromedp.ListenTarget(ctx, func(event any) {
		if e, ok := event.(*network.EventRequestWillBeSent); ok {
			if u := e.Request.URL; !strings.HasPrefix(u, "file://") && !strings.HasPrefix(u, "blob:") &&
				!strings.HasPrefix(u, "data:") {
				t.Errorf("the page sent a request to %s", u)
			}
		}
	})
	browser.Run(t, ctx, network.Enable(), chromedp.Navigate("file://"+built),
		browser.Until(`!document.getElementById('judge')`)) // its script has run
	return ctx
}

// until waits until a JavaScript expression is true.
func until(t *testing.T, ctx context.Context, expression string) {
	t.Helper()
	browser.Run(t, ctx, browser.Until(expression))
}

// press presses a button of the page.
func press(t *testing.T, ctx context.Context, id string) {
	t.Helper()
	browser.Run(t, ctx, chromedp.Evaluate(fmt.Sprintf(`document.getElementById(%q).click()`, id), nil))
}

// choose gives files to the page, and waits until it has a report and a record.
func choose(t *testing.T, ctx context.Context, files ...string) {
	t.Helper()
	press(t, ctx, "clear")
	for i := range files { // the browser has a folder of its own
		path, err := filepath.Abs(files[i])
		if err != nil {
			t.Fatal(err)
		}
		files[i] = path
	}
	browser.Run(t, ctx, chromedp.SetUploadFiles("#files", files, chromedp.ByID))
	until(t, ctx, `!document.getElementById('go').disabled`)
}

// check gives files to the page, presses Verify and waits for its answer.
func check(t *testing.T, ctx context.Context, key string, files ...string) (answer string) {
	t.Helper()
	choose(t, ctx, files...)
	for i := range files { // the last ones may still be looked at
		until(t, ctx, fmt.Sprintf(`document.body.innerText.includes(%q)`, filepath.Base(files[i])))
	}
	browser.Run(t, ctx, chromedp.Evaluate(fmt.Sprintf(`document.getElementById('key').value = %q`, key), nil))
	press(t, ctx, "go")
	until(t, ctx, `document.getElementById('stop').hidden && (!document.getElementById('result').hidden ||
		!document.getElementById('error').hidden)`)
	browser.Run(t, ctx, chromedp.Evaluate(`['#error:not([hidden])', '#result:not([hidden]) #verdict', '#problems', '#facts']
		.map(s => (document.querySelector(s) || {}).innerText || '').join('\n')`, &answer))
	return answer
}

// TestVerifyInABrowser: the page finds what mixtral report verify finds, from the same judge.
func TestVerifyInABrowser(t *testing.T) {
	r := newRun(t, smallRecord(t), "id_ed25519")
	p := r.paths
	publicKey, err := os.ReadFile(keys + "id_ed25519.pub")
	if err != nil {
		t.Fatal(err)
	}
	record := smallRecord(t)
	other := r.put(t, "other.events.jsonl.gz", packed(t, strings.Replace(record,
		`"done":1031000000`, `"done":1031000009`, 1)))
	cut := r.put(t, "cut.events.jsonl.gz", packed(t, record)[:900])
	lie := r.forged(t, p.JSON, "lie.json", `"status": "PASS"`, `"status": "FAIL"`)
	hostile := r.forged(t, p.JSON, "hostile.json", `"test_case": "TC-SMALL"`,
		`"test_case": "<img src=x onerror=alert(1)><script>fetch('http://127.0.0.1:9/')</script>"`)
	ctx := open(t)
	for name, c := range map[string]struct {
		files []string
		key   string
		want  []string
	}{
		"honest": {[]string{p.JSON, p.Events}, "", []string{"Verified", "PASS follows from 16 events, byte for byte",
			"Nobody’s signature was checked"}},
		"signed": {[]string{p.JSON, p.Events, p.Attestation, keys + "id_ed25519.pub"}, "", []string{"Verified",
			"is signed by SHA256:", "ed25519@example.org"}},
		"key as text": {[]string{p.JSON, p.Events, p.Attestation}, string(publicKey), []string{"Verified",
			"is signed by SHA256:"}},
		"signed, no key": {[]string{p.JSON, p.Events, p.Attestation}, "", []string{"Verified",
			"its public key was not given"}},
		"another's key": {[]string{p.JSON, p.Events, p.Attestation, keys + "pkcs8.pub.pem"}, "",
			[]string{"NOT verified", "no key of pkcs8.pub.pem signed it"}},
		"no signature": {[]string{p.JSON, p.Events, keys + "id_ed25519.pub"}, "", []string{"NOT verified",
			"there is no signature"}},
		"a lie": {[]string{lie, p.Events}, "", []string{"NOT verified", "does not follow",
			`status is "FAIL", the events give "PASS"`}},
		"another record": {[]string{p.JSON, other, p.Attestation, keys + "id_ed25519.pub"}, "",
			[]string{"NOT verified", "evidence.sha256 is", "signed subject[1].digest.sha256 is"}},
		"a cut record":  {[]string{p.JSON, cut}, "", []string{"NOT verified", "the file breaks off"}},
		"hostile":       {[]string{hostile, p.Events}, "", []string{"NOT verified", "<img src=x onerror=alert(1)>"}},
		"a broken key":  {[]string{p.JSON, p.Events}, "ssh-ed25519 AAAA", []string{"no SSH public key"}},
		"a private key": {[]string{p.JSON, p.Events, keys + "pkcs8.pem"}, "", []string{"it is a private key"}},
		"garbage report": {[]string{r.put(t, "bad.json", []byte("{]")), p.Events}, "",
			[]string{"not a certification report"}},
		"garbage record": {[]string{p.JSON, r.put(t, "bad.gz", []byte("\x1f\x8b garbage"))}, "",
			[]string{"not a record of events"}},
	} {
		answer := check(t, ctx, c.key, c.files...)
		for _, want := range c.want {
			if !strings.Contains(answer, want) {
				t.Errorf("%s: the page says %q, want %q", name, answer, want)
			}
		}
	}
}

// TestLargeRecords: a record of a long run is read in pieces and judged, and one that never ends is stopped by hand.
func TestLargeRecords(t *testing.T) {
	record := smallRecord(t)
	lines := strings.SplitAfter(record, "\n")
	var b strings.Builder
	b.WriteString(lines[0] + lines[1])
	const n = 60000
	for i := range n {
		b.WriteString(strings.Replace(lines[2], `"n":0`, fmt.Sprintf(`"n":%d`, i), 1))
	}
	b.WriteString(strings.Join(lines[14:], ""))
	r := newRun(t, b.String(), "")
	ctx := open(t)
	start := time.Now()
	answer := check(t, ctx, "", r.paths.JSON, r.paths.Events)
	t.Logf("a record of %d requests took %v", n, time.Since(start).Round(time.Second/10))
	if !strings.Contains(answer, "Verified") ||
		!strings.Contains(answer, "60,004 events") {
		t.Errorf("the page says %q", answer)
	}
	endless := r.put(t, "endless.gz", packed(t, lines[0]+strings.Repeat("\n", 1<<28)))
	choose(t, ctx, r.paths.JSON, endless)
	press(t, ctx, "go")
	until(t, ctx, `document.getElementById('state').textContent.startsWith('judging')`)
	press(t, ctx, "stop")
	until(t, ctx, `document.getElementById('stop').hidden &&
		document.getElementById('state').textContent === 'stopped'`)
	var told string
	huge := r.put(t, "huge.json", append([]byte(`{"test_case":"`), bytes.Repeat([]byte("x"), 17<<20)...))
	browser.Run(t, ctx, chromedp.SetUploadFiles("#files", []string{huge}, chromedp.ByID))
	until(t, ctx, `!document.getElementById('error').hidden`)
	browser.Run(t, ctx, chromedp.Evaluate(`document.getElementById('error').textContent`, &told))
	if !strings.Contains(told, "this page takes 16 MiB of such a file") {
		t.Errorf("a report of 17 MiB: %q", told)
	}
}

// TestTheFilesStayHere: the page cannot fetch, and nothing of it goes wide of a small screen.
func TestTheFilesStayHere(t *testing.T) {
	r := newRun(t, smallRecord(t), "id_ed25519")
	ctx := open(t)
	check(t, ctx, "", r.paths.JSON, r.paths.Events, r.paths.Attestation, keys+"id_ed25519.pub")
	var fetched bool
	browser.Run(t, ctx, chromedp.Evaluate(`fetch('`+browser.Forbidden+`').then(() => true, () => false)`, &fetched,
		func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
	if fetched {
		t.Error("the page may fetch")
	}
	browser.Picture(t, ctx, "verify-report", true)
}

// TestEveryoneCanUseIt: the page before and after it has verified a report, for people with a screen reader, without a
// mouse, and with weak eyes.
func TestEveryoneCanUseIt(t *testing.T) {
	r := newRun(t, smallRecord(t), "id_ed25519")
	lie := r.forged(t, r.paths.JSON, "lie.json", `"status": "PASS"`, `"status": "FAIL"`)
	ctx := open(t)
	browser.State(t, ctx, "verify-empty")
	check(t, ctx, "", r.paths.JSON, r.paths.Events, r.paths.Attestation, keys+"id_ed25519.pub")
	browser.State(t, ctx, "verify-verified")
	check(t, ctx, "", lie, r.paths.Events)
	browser.State(t, ctx, "verify-not")
	check(t, ctx, "ssh-ed25519 AAAA", r.paths.JSON, r.paths.Events)
	browser.State(t, ctx, "verify-key-error")
	foreign := r.put(t, "notes.json", []byte(`{"this": "is something else"}`))
	check(t, ctx, "", foreign, r.paths.Events)
	browser.State(t, ctx, "verify-foreign")
	unknown := r.put(t, "holiday.jpeg", []byte("\xff\xd8\xff\xe0 JFIF"))
	browser.Run(t, ctx, chromedp.SetUploadFiles("#files", []string{unknown}, chromedp.ByID),
		browser.Shows("holiday.jpeg"))
	browser.State(t, ctx, "verify-unknown-file")
}
