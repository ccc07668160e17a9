// Command sbom writes the software bill of materials of Go binaries, as CycloneDX JSON beside each: every module that
// is linked, with the hash that go.sum holds it to, and the Go distribution. All of it is read from the binary
// itself, so that a list cannot tell of another build. It must not use the network, a clock or chance: one binary has
// one list.
//
//	sbom dist/mixtral-linux-amd64 ...
package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: sbom BINARY ...")
		os.Exit(2)
	}
	for _, path := range os.Args[1:] {
		if err := write(path); err != nil {
			fmt.Fprintln(os.Stderr, "sbom:", err)
			os.Exit(1)
		}
	}
}

// write writes a binary's list beside it.
func write(path string) error {
	binary, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	info, err := buildinfo.Read(bytes.NewReader(binary))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	list, err := bill(info, filepath.Base(path), sha256.Sum256(binary))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	var out bytes.Buffer
	e := cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON)
	e.SetPretty(true)
	e.SetEscapeHTML(false)
	if err := e.EncodeVersion(list, cdx.SpecVersion1_6); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path+".cdx.json", out.Bytes(), 0o644)
}

var errHash = errors.New("no hash of go.sum's")

// bill makes the list of a binary.
func bill(info *buildinfo.BuildInfo, name string, hash [sha256.Size]byte) (*cdx.BOM, error) {
	app := component(cdx.ComponentTypeApplication, info.Main.Path, version(info.Main.Version))
	app.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(hash[:])}}
	properties := []cdx.Property{{Name: "file", Value: name}}
	for _, s := range info.Settings { // how it was built: enough to build it again
		switch s.Key {
		case "GOOS", "GOARCH", "GOAMD64", "GOARM64", "CGO_ENABLED", "-trimpath", "-ldflags", "-tags", "vcs.revision",
			"vcs.time", "vcs.modified":
			properties = append(properties, cdx.Property{Name: "build:" + s.Key, Value: s.Value})
		}
	}
	app.Properties = &properties
	parts := []cdx.Component{component(cdx.ComponentTypeLibrary, "std", strings.TrimPrefix(info.GoVersion, "go"))}
	for _, dep := range info.Deps {
		if dep.Replace != nil {
			dep = dep.Replace
		}
		c := component(cdx.ComponentTypeLibrary, dep.Path, version(dep.Version))
		sum, err := goSum(dep.Sum)
		if err != nil {
			return nil, fmt.Errorf("%s@%s: %w: %q", dep.Path, dep.Version, err, dep.Sum)
		}
		c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: sum}}
		parts = append(parts, c)
	}
	var refs []string
	for _, c := range parts {
		refs = append(refs, c.BOMRef)
	}
	list := cdx.NewBOM()
	list.Metadata = &cdx.Metadata{Component: &app}
	list.Components = &parts
	// a binary does not know which needs which
	list.Dependencies = &[]cdx.Dependency{{Ref: app.BOMRef, Dependencies: &refs}}
	return list, nil
}

func component(kind cdx.ComponentType, path, version string) cdx.Component {
	purl := "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")
	return cdx.Component{Type: kind, BOMRef: purl, Name: path, Version: version, PackageURL: purl}
}

func version(v string) string {
	if v == "" {
		return "(devel)"
	}
	return v
}

// goSum gives the SHA-256 in "h1:" and base64, which is of a list of the module's files and their hashes.
func goSum(sum string) (string, error) {
	text, ok := strings.CutPrefix(sum, "h1:")
	raw, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(raw) != sha256.Size {
		return "", errHash
	}
	return hex.EncodeToString(raw), nil
}
