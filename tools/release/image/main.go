// Command image makes a container image of the program, for each platform that it has a binary for, without a Docker
// daemon: an OCI image layout. What it says about itself is read from the binaries; one set of binaries and one Go
// give the same bytes.
//
//	image -rootfs deploy/rootfs -o dist dist/mixtral-linux-amd64 dist/mixtral-linux-arm64
//
// writes into the folder:
//
//	image/                            the layout: one index with the image of each platform
//	mixtral-image.tar                 the same in one file (skopeo copy oci-archive:…, ctr images import)
//	mixtral-image-linux-amd64.tar, …  one platform each, as docker load and podman load take them too
//
// Start reading at main; rootfs.go has what is in the image, layout.go how it is written.
package main

import (
	"bytes"
	"debug/buildinfo"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// repository is where the manifests of deploy/ pull the image from.
const repository = "ghcr.io/hxp-enterprise/mixtral"

func main() {
	out := flag.String("o", "dist", "the folder to write into")
	rootfs := flag.String("rootfs", "../../deploy/rootfs", "the folder of the image's small files")
	flag.Usage = func() { fmt.Fprintln(os.Stderr, "usage: image [-rootfs FOLDER] [-o FOLDER] BINARY ...") }
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*out, *rootfs, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(out, rootfs string, paths []string) error {
	var programs []program
	for _, path := range paths {
		p, err := read(path)
		if err != nil {
			return err
		}
		programs = append(programs, p)
	}
	base, err := baseLayer(rootfs)
	if err != nil {
		return err
	}
	all := newLayout()
	for _, p := range programs {
		alone := newLayout()
		for _, l := range []*layout{all, alone} {
			if err := l.add(p, base); err != nil {
				return err
			}
		}
		name := fmt.Sprintf("mixtral-image-%s-%s.tar", p.os, p.arch)
		if err := alone.writeDocker(filepath.Join(out, name)); err != nil {
			return err
		}
	}
	if err := all.writeDir(filepath.Join(out, "image")); err != nil {
		return err
	}
	return all.writeTar(filepath.Join(out, "mixtral-image.tar"))
}

// program is a binary and what it says about itself.
type program struct {
	binary            []byte
	os, arch          string
	version, revision string
	created           time.Time // of the commit
}

var (
	errPlatform = errors.New("no binary for a container")
	errCommit   = errors.New("the binary does not name its commit")
)

func read(path string) (program, error) {
	binary, err := os.ReadFile(path)
	if err != nil {
		return program{}, err
	}
	info, err := buildinfo.Read(bytes.NewReader(binary))
	if err != nil {
		return program{}, fmt.Errorf("%s: %w", path, err)
	}
	p, err := about(info)
	if err != nil {
		return program{}, fmt.Errorf("%s: %w", path, err)
	}
	p.binary = binary
	return p, nil
}

// about takes what an image needs from a binary's own words.
func about(info *buildinfo.BuildInfo) (p program, err error) {
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	p = program{version: info.Main.Version, os: settings["GOOS"], arch: settings["GOARCH"],
		revision: settings["vcs.revision"]}
	if p.os != "linux" || p.arch != "amd64" && p.arch != "arm64" || settings["CGO_ENABLED"] != "0" {
		return p, fmt.Errorf("%w: it is for %s/%s with CGO_ENABLED=%s, must be for linux/amd64 or linux/arm64 with 0",
			errPlatform, p.os, p.arch, settings["CGO_ENABLED"])
	}
	if p.created, err = time.Parse(time.RFC3339, settings["vcs.time"]); err != nil || p.revision == "" ||
		settings["vcs.modified"] != "false" {
		return p, fmt.Errorf("%w: vcs.revision %q, vcs.time %q, vcs.modified %q; build it in a clean checkout with "+
			"-buildvcs=true", errCommit, p.revision, settings["vcs.time"], settings["vcs.modified"])
	}
	return p, nil
}

// tag is the version as a registry takes it: no plus sign may be in it.
func (p program) tag() string { return strings.ReplaceAll(p.version, "+", "_") }
