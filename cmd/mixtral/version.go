package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/hxp-enterprise/mixtral"
)

// build describes this program. The version does not come from a linker flag: the go command takes it from the tag
// that was checked out, so two builds of one commit cannot differ in it.
type build struct {
	Version  string `json:"version"`            // as in GET /version
	Revision string `json:"revision,omitempty"` // of the source, if the build knew it
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

func thisBuild() build {
	b := build{Version: mixtral.Version(), Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.Revision = s.Value
			}
		}
	}
	return b
}

// versionString returns the version, the first digits of the revision, the Go version and the platform.
func versionString() string {
	b := thisBuild()
	words := []string{"mixtral", b.Version}
	if len(b.Revision) >= 12 {
		words = append(words, b.Revision[:12])
	}
	return strings.Join(append(words, b.Go, b.OS+"/"+b.Arch), " ")
}

// versionCmd prints the build's version.
type versionCmd struct {
	JSON bool `help:"Print JSON."`
}

func (c versionCmd) Run(a *app) error {
	if c.JSON {
		return printJSON(a.stdout, thisBuild())
	}
	_, err := fmt.Fprintln(a.stdout, versionString())
	return err
}

// versionFlag prints the version at any place of the command line, before anything else is checked.
type versionFlag bool

// BeforeReset is called by the parser if the flag was given.
func (versionFlag) BeforeReset(parser *kong.Kong) error {
	_, err := fmt.Fprintln(parser.Stdout, versionString())
	parser.Exit(exitOK)
	return err
}
