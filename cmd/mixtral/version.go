package main

import (
	"runtime"
	"runtime/debug"

	"github.com/hxp-enterprise/mixtral"
)

// versionString gives the version as /version says it, the VCS revision if the build knew it, the Go version and the
// platform. There is no flag that stamps a version: the go command takes it from the tag that was checked out, so that
// two builds of one commit cannot differ in it.
func versionString() string {
	rev := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				rev = " " + s.Value[:12]
			}
		}
	}
	return "mixtral " + mixtral.Version() + rev + " " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH
}
