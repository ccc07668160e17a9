package main

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// TestBill makes the list of this tool, whose modules go.sum knows too.
func TestBill(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "sbom")
	if out, err := exec.Command("go", "build", "-trimpath", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var lists [2][]byte
	for i := range lists {
		if err := write(binary); err != nil {
			t.Fatal(err)
		}
		var err error
		if lists[i], err = os.ReadFile(binary + ".cdx.json"); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(lists[0], lists[1]) {
		t.Error("one binary has two lists")
	}
	var list cdx.BOM
	dec := json.NewDecoder(bytes.NewReader(lists[0]))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&list); err != nil {
		t.Fatal(err)
	}
	if list.SpecVersion != cdx.SpecVersion1_6 || list.BOMFormat != "CycloneDX" || len(list.SerialNumber) != 0 {
		t.Errorf("%s %s %q", list.BOMFormat, list.SpecVersion, list.SerialNumber)
	}
	app := list.Metadata.Component
	if app.Name != "github.com/hxp-enterprise/mixtral/tools/release" || len(*app.Hashes) != 1 ||
		!strings.Contains(string(lists[0]), `"build:GOARCH"`) {
		t.Errorf("application %+v", app)
	}
	found := map[string]bool{}
	for _, c := range *list.Components {
		found[c.Name] = true
		if c.Version == "" || !strings.HasPrefix(c.PackageURL, "pkg:golang/"+c.Name+"@") {
			t.Errorf("%+v", c)
		}
		if c.Name != "std" && (c.Hashes == nil || len((*c.Hashes)[0].Value) != 64) {
			t.Errorf("%s has no hash", c.Name)
		}
	}
	if !found["std"] || !found["github.com/CycloneDX/cyclonedx-go"] ||
		len(*(*list.Dependencies)[0].Dependencies) != len(found) {
		t.Errorf("components %v, dependencies %v", found, list.Dependencies)
	}
}

func TestBad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if err := write(path); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte("no binary"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := write(path); err == nil {
		t.Error("a list of no binary")
	}
	for _, sum := range []string{"", "h1:", "h2:AAAA", "h1:AAAA"} {
		if _, err := goSum(sum); !errors.Is(err, errHash) {
			t.Errorf("%q: %v", sum, err)
		}
	}
	unknown := &buildinfo.BuildInfo{Deps: []*debug.Module{{Path: "example.com/x", Version: "v1.0.0"}}}
	if _, err := bill(unknown, "x", [32]byte{}); !errors.Is(err, errHash) {
		t.Errorf("a module that go.sum does not hold: %v", err)
	}
}
