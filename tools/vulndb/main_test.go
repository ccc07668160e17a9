package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

const one = `{"id":"GO-2026-0001","modified":"0001-01-01T00:00:00Z","aliases":["CVE-2026-1"],"affected":[
	{"package":{"name":"example.com/b","ecosystem":"Go"}},{"package":{"name":"example.com/b","ecosystem":"Go"}},
	{"package":{"name":"stdlib","ecosystem":"Go"}}]}`
const two = `{"id":"GO-2026-0002","modified":"2026-02-03T04:05:06Z","affected":[
	{"package":{"name":"example.com/a","ecosystem":"Go"}},{"package":{"name":"example.com/b","ecosystem":"Go"}}]}`

func entries(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestLayOut: every entry is copied byte for byte and stands in the index of each module that it affects, once.
func TestLayOut(t *testing.T) {
	to, when := t.TempDir(), time.Date(2026, 11, 5, 1, 2, 3, 0, time.UTC)
	n, err := layOut(entries(t, map[string]string{"GO-2026-0001.json": one, "GO-2026-0002.json": two}), to, when)
	if err != nil || n != 2 {
		t.Fatal(n, err)
	}
	for path, want := range map[string]string{
		"index/db.json": `{"modified":"2026-11-05T01:02:03Z"}`,
		"index/vulns.json": `[{"id":"GO-2026-0001","modified":"2026-11-05T01:02:03Z","aliases":["CVE-2026-1"]},
			{"id":"GO-2026-0002","modified":"2026-02-03T04:05:06Z"}]`,
		"index/modules.json": `[
			{"path":"example.com/a","vulns":[{"id":"GO-2026-0002","modified":"2026-02-03T04:05:06Z"}]},
			{"path":"example.com/b","vulns":[{"id":"GO-2026-0001","modified":"2026-11-05T01:02:03Z"},
				{"id":"GO-2026-0002","modified":"2026-02-03T04:05:06Z"}]},
			{"path":"stdlib","vulns":[{"id":"GO-2026-0001","modified":"2026-11-05T01:02:03Z"}]}]`,
		"ID/GO-2026-0001.json": one,
		"ID/GO-2026-0002.json": two,
	} {
		data, err := os.ReadFile(filepath.Join(to, path))
		if err != nil {
			t.Fatal(err)
		}
		var a, b any
		if err := errors.Join(json.Unmarshal(data, &a), json.Unmarshal([]byte(want), &b)); err != nil ||
			!reflect.DeepEqual(a, b) {
			t.Errorf("%s: %s, %v", path, data, err)
		}
	}
}

// TestBadEntries: an entry that is not understood is an error, never one vulnerability less.
func TestBadEntries(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"none":              {},
		"no JSON":           {"GO-2026-0001.json": one[:20]},
		"another's name":    {"GO-2026-0003.json": one},
		"no name":           {".json": strings.Replace(one, "GO-2026-0001", "", 1)},
		"affects nothing":   {"GO-2026-0001.json": `{"id":"GO-2026-0001"}`},
		"no module":         {"GO-2026-0001.json": strings.Replace(one, "stdlib", "", 1)},
		"another ecosystem": {"GO-2026-0001.json": strings.Replace(one, `"Go"`, `"npm"`, 1)},
		"something else":    {"GO-2026-0001.json": one, "README.md": "see"},
	} {
		if n, err := layOut(entries(t, files), t.TempDir(), time.Now()); !errors.Is(err, errEntry) {
			t.Errorf("%s: %d entries, %v", name, n, err)
		}
	}
	if _, err := layOut(filepath.Join(t.TempDir(), "x"), t.TempDir(), time.Now()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

// TestPlanted: with the pinned copy alone the script finds a function with a known vulnerability where it is called,
// and none where its module is only required.
func TestPlanted(t *testing.T) {
	for dir, want := range map[string]struct {
		code int
		text string
	}{
		"called":   {3, "calls language.Parse"},
		"required": {0, "Your code is affected by 0 vulnerabilities"},
	} {
		cmd := exec.Command("sh", "../../scripts/vuln.sh", "-C", filepath.Join("testdata", dir))
		// nobody listens there: as without a network
		cmd.Env = append(os.Environ(), "GOVULNDB=http://127.0.0.1:9", "VULN=")
		out, _ := cmd.CombinedOutput()
		text := string(out)
		if cmd.ProcessState.ExitCode() != want.code || !strings.Contains(text, want.text) ||
			!strings.Contains(text, "vuln: the pinned copy of the vulnerability database is of 20") ||
			want.code == 3 != strings.Contains(text, "GO-2021-0113") {
			t.Errorf("%s: %v, want exit code %d and %q\n%s", dir, cmd.ProcessState, want.code, want.text, text)
		}
		if want.code == 0 && !strings.Contains(text, "CHECKED AGAINST THE PINNED COPY ONLY") {
			t.Errorf("%s: does not say that the newest database was not there\n%s", dir, text)
		}
	}
}
