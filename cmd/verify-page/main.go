//go:build !js

package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/web/verifypage"
)

func main() {
	out := flag.String("o", "verify.html", "file to write")
	version := flag.String("version", "unknown", "version of the judge, as reports have it")
	flag.Parse()
	if err := write(*out, *version); err != nil {
		fmt.Fprintf(os.Stderr, "verify-page: %v\n", err)
		os.Exit(1)
	}
}

// write builds the judge and the page around it.
func write(out, version string) error {
	dir, err := os.MkdirTemp("", "verify-page")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	wasm := filepath.Join(dir, "judge.wasm")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-buildvcs=false", "-o", wasm,
		"github.com/hxp-enterprise/mixtral/cmd/verify-page")
	build.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("go build: %w", err)
	}
	judge, err := os.ReadFile(wasm)
	if err != nil {
		return err
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("go env GOROOT: %w", err)
	}
	support, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(root)), "lib", "wasm", "wasm_exec.js"))
	if err != nil {
		return fmt.Errorf("%s has no support for WebAssembly: %w", runtime.Version(), err)
	}
	page, err := verifypage.Page(judge, support, version)
	if err != nil {
		return err
	}
	return os.WriteFile(out, page, 0o644)
}
