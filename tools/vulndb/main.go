// Command vulndb lays out an offline copy of Go's vulnerability database, as govulncheck -db file://… reads it. The
// entries come from the module golang.org/x/vulndb, the repository that vuln.go.dev is made from, in the version that
// go.mod pins and with the bytes that go.sum names. It must run in its own module's folder.
//
//	cd tools/vulndb && go run . FOLDER
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const module = "golang.org/x/vulndb"

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: vulndb FOLDER")
		os.Exit(2)
	}
	dir, when, err := pinned()
	if err == nil {
		var n int
		if n, err = layOut(filepath.Join(dir, "data", "osv"), os.Args[1], when); err == nil {
			fmt.Printf("the pinned copy of the vulnerability database is of %s: %d entries\n",
				when.Format(time.DateOnly), n)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "vulndb:", err)
		os.Exit(1)
	}
}

// pinned gives the folder of the module that go.mod pins, and the time of its commit. The go command downloads it if
// it must, and compares it with go.sum.
func pinned() (dir string, when time.Time, err error) {
	if out, err := exec.Command("go", "mod", "download", module).CombinedOutput(); err != nil {
		return "", when, fmt.Errorf("go mod download %s: %w: %s", module, err, out)
	}
	out, err := exec.Command("go", "list", "-m", "-json", module).Output()
	if err != nil {
		return "", when, fmt.Errorf("go list -m %s: %w", module, err)
	}
	var m struct {
		Dir  string
		Time time.Time
	}
	if err := json.Unmarshal(out, &m); err != nil {
		return "", when, fmt.Errorf("go list -m %s: %w", module, err)
	}
	return m.Dir, m.Time, nil
}

var errEntry = errors.New("not an entry of the database")

// entry is what the indexes say of a vulnerability (OSV, https://ossf.github.io/osv-schema).
type entry struct {
	ID       string    `json:"id"`
	Modified time.Time `json:"modified"`
	Aliases  []string  `json:"aliases"`
	Affected []struct {
		Package struct {
			Name      string `json:"name"`
			Ecosystem string `json:"ecosystem"`
		} `json:"package"`
	} `json:"affected"`
}

// The indexes, as https://go.dev/doc/security/vuln/database describes them. "fixed" is left out of the index of
// modules: it only spares readers to look at entries whose ranges say the same.
type (
	metaIndex struct {
		Modified time.Time `json:"modified"`
	}
	vuln struct {
		ID       string    `json:"id"`
		Modified time.Time `json:"modified"`
		Aliases  []string  `json:"aliases,omitempty"`
	}
	moduleIndex struct {
		Path  string `json:"path"`
		Vulns []vuln `json:"vulns"`
	}
)

// layOut copies the entries of a folder and writes their indexes. The repository knows the times of its entries only
// by its history, which a module lacks: each is as old as the copy.
func layOut(from, to string, when time.Time) (int, error) {
	files, err := os.ReadDir(from)
	if err != nil {
		return 0, err
	}
	for _, dir := range []string{"ID", "index"} {
		if err := os.MkdirAll(filepath.Join(to, dir), 0o755); err != nil {
			return 0, err
		}
	}
	vulns, byModule := []vuln{}, map[string][]vuln{}
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(from, f.Name()))
		if err != nil {
			return 0, err
		}
		e, err := parse(f.Name(), data)
		if err != nil {
			return 0, err
		}
		if e.Modified.IsZero() {
			e.Modified = when
		}
		if err := os.WriteFile(filepath.Join(to, "ID", f.Name()), data, 0o644); err != nil {
			return 0, err
		}
		vulns = append(vulns, vuln{e.ID, e.Modified, e.Aliases})
		for _, a := range e.Affected {
			v, name := vuln{ID: e.ID, Modified: e.Modified}, a.Package.Name
			if !slices.ContainsFunc(byModule[name], func(o vuln) bool { return o.ID == v.ID }) {
				byModule[name] = append(byModule[name], v)
			}
		}
	}
	if len(vulns) == 0 {
		return 0, fmt.Errorf("%s: %w: there is none", from, errEntry)
	}
	modules := make([]moduleIndex, 0, len(byModule))
	for path, list := range byModule {
		modules = append(modules, moduleIndex{path, list})
	}
	slices.SortFunc(modules, func(a, b moduleIndex) int { return strings.Compare(a.Path, b.Path) })
	for name, index := range map[string]any{"db": metaIndex{when}, "vulns": vulns, "modules": modules} {
		data, err := json.Marshal(index)
		if err == nil {
			err = os.WriteFile(filepath.Join(to, "index", name+".json"), data, 0o644)
		}
		if err != nil {
			return 0, err
		}
	}
	return len(vulns), nil
}

// parse reads an entry. One that is not understood is an error: passing it over would hide a vulnerability.
func parse(name string, data []byte) (e entry, err error) {
	if err := json.Unmarshal(data, &e); err != nil {
		return e, fmt.Errorf("%s: %w: %w", name, errEntry, err)
	}
	if e.ID == "" || name != e.ID+".json" {
		return e, fmt.Errorf("%s: %w: its id is %q, must be the file's name without .json", name, errEntry, e.ID)
	}
	if len(e.Affected) == 0 {
		return e, fmt.Errorf("%s: %w: it affects nothing", name, errEntry)
	}
	for _, a := range e.Affected {
		if a.Package.Name == "" || a.Package.Ecosystem != "Go" {
			return e, fmt.Errorf("%s: %w: package %q of ecosystem %q, must be a module of Go", name, errEntry,
				a.Package.Name, a.Package.Ecosystem)
		}
	}
	return e, nil
}
