package main

import (
	"runtime"
	"runtime/debug"
)

// version is set by the release build with -ldflags "-X main.version=v1.2.3".
var version = ""

// versionString gives the version, the VCS revision if the build knew it, the Go version and the platform.
func versionString() string {
	v, rev := version, ""
	if info, ok := debug.ReadBuildInfo(); ok {
		if v == "" {
			v = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				rev = " " + s.Value[:12]
			}
		}
	}
	if v == "" {
		v = "devel"
	}
	return "mixtral " + v + rev + " " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH
}
