// Package release_test looks at what `make release` has built, in the folder that MIXTRAL_DIST names: it starts each
// binary that this machine can run, reads the container image back with other people's software and starts it too, and
// holds checksums, bills of materials, provenance and labels to one another. `make release-test` runs it.
//
// release_test.go is about the binaries, image_test.go about the image, provenance_test.go about what is said of them.
package release_test

import (
	"bufio"
	"bytes"
	"cmp"
	"debug/buildinfo"
	"debug/elf"
	"debug/macho"
	"debug/pe"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/need"
)

var dist = os.Getenv("MIXTRAL_DIST")

func TestMain(m *testing.M) {
	if dist == "" {
		fmt.Println("MIXTRAL_DIST is not set: no release is looked at; see make release-test")
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// binary is a program of the release.
type binary struct {
	path, os, arch string
	info           *buildinfo.BuildInfo
	settings       map[string]string
}

// binaries are those that SHA256SUMS lists.
func binaries(t *testing.T) (all []binary) {
	t.Helper()
	for name := range sums(t) {
		parts := strings.Split(name, "-")
		if len(parts) != 3 || filepath.Ext(strings.TrimSuffix(name, ".exe")) != "" {
			continue
		}
		b := binary{path: filepath.Join(dist, name), os: parts[1], arch: strings.TrimSuffix(parts[2], ".exe"),
			settings: map[string]string{}}
		var err error
		if b.info, err = buildinfo.ReadFile(b.path); err != nil {
			t.Fatal(err)
		}
		for _, s := range b.info.Settings {
			b.settings[s.Key] = s.Value
		}
		all = append(all, b)
	}
	if len(all) == 0 {
		t.Fatal("there are no binaries")
	}
	slices.SortFunc(all, func(a, b binary) int { return strings.Compare(a.path, b.path) })
	return all
}

// sums are the digests of SHA256SUMS by the files' names.
func sums(t *testing.T) map[string]string {
	t.Helper()
	f, err := os.Open(filepath.Join(dist, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		sum, name, ok := strings.Cut(lines.Text(), "  ")
		if !ok {
			t.Fatalf("SHA256SUMS: %q", lines.Text())
		}
		all[name] = sum
	}
	return all
}

// TestBinaries: each is of the platform that its name says, static, and built as releases are.
func TestBinaries(t *testing.T) {
	machines := map[string]any{"linux/amd64": elf.EM_X86_64, "linux/arm64": elf.EM_AARCH64,
		"darwin/arm64": macho.CpuArm64, "darwin/amd64": macho.CpuAmd64,
		"windows/amd64": uint16(pe.IMAGE_FILE_MACHINE_AMD64), "windows/arm64": uint16(pe.IMAGE_FILE_MACHINE_ARM64)}
	for _, b := range binaries(t) {
		var machine any
		switch b.os {
		case "linux":
			f, err := elf.Open(b.path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			machine = f.Machine
			if libs, err := f.ImportedLibraries(); err != nil || len(libs) > 0 ||
				slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
				t.Errorf("%s is not static: %v, %v", b.path, libs, err)
			}
		case "darwin":
			f, err := macho.Open(b.path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			machine = f.Cpu
			if f.Type != macho.TypeExec || f.Section("__text") == nil {
				t.Errorf("%s is not a program: %v", b.path, f.Type)
			}
		case "windows":
			f, err := pe.Open(b.path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			machine = f.Machine
		}
		if want, ok := machines[b.os+"/"+b.arch]; !ok || machine != want {
			t.Errorf("%s is for the machine %v, want %v", b.path, machine, want)
		}
		for key, want := range map[string]string{"GOOS": b.os, "GOARCH": b.arch, "CGO_ENABLED": "0",
			"-trimpath": "true", "vcs.modified": "false"} {
			if b.settings[key] != want {
				t.Errorf("%s: %s is %q, want %q", b.path, key, b.settings[key], want)
			}
		}
		if len(b.settings["vcs.revision"]) != 40 || b.info.Main.Path != "github.com/hxp-enterprise/mixtral" ||
			!strings.HasPrefix(b.info.Main.Version, "v") {
			t.Errorf("%s: commit %q, %s@%s", b.path, b.settings["vcs.revision"], b.info.Main.Path, b.info.Main.Version)
		}
	}
}

// TestPlatforms: the release is for the platforms that scripts/release.sh was asked for. Without a binary for this
// machine, TestCertifies would have nothing to do.
func TestPlatforms(t *testing.T) {
	script, err := os.ReadFile("../../scripts/release.sh")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`\$\{PLATFORMS:-([^}]+)\}`).FindSubmatch(script)
	if m == nil {
		t.Fatal("scripts/release.sh names no platforms: this test reads it wrongly")
	}
	want := strings.Fields(cmp.Or(os.Getenv("PLATFORMS"), string(m[1])))
	var have []string
	for _, b := range binaries(t) {
		have = append(have, b.os+"/"+b.arch)
	}
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		t.Errorf("the release is for %q, want %q", have, want)
	}
}

// emulators start a program of another processor, without the system's help.
var emulators = map[string]string{"amd64": "qemu-x86_64", "arm64": "qemu-aarch64"}

// command starts a program of the release. It is nil, and the test is over, where nothing can.
func (b binary) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	home := t.TempDir()
	cmd := exec.CommandContext(t.Context(), b.path, args...)
	if b.arch != runtime.GOARCH {
		emulator, err := exec.LookPath(emulators[b.arch])
		if err != nil {
			need.Missing(t, "%s is not installed (Debian's package qemu-user)", emulators[b.arch])
		}
		cmd = exec.CommandContext(t.Context(), emulator, append([]string{"-cpu", "max", b.path}, args...)...)
	}
	cmd.Env = []string{"HOME=" + home, "XDG_DATA_HOME=" + home, "PATH=" + os.Getenv("PATH")}
	cmd.Dir = home
	return cmd
}

// output gives what a command prints, and what it complains of if it fails.
func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%q: %v\n%s%s", cmd.Args, err, out, stderr.Bytes())
	}
	return string(out)
}

// TestStarted: each binary for Linux says what it is, helps, looks at the machine and answers a prompt by the built-in
// model: here, or on an emulated processor.
func TestStarted(t *testing.T) {
	for _, b := range binaries(t) {
		if b.os != "linux" {
			continue
		}
		t.Run(b.arch, func(t *testing.T) {
			var v struct{ Version, Go, OS, Arch, Revision string }
			if err := json.Unmarshal([]byte(output(t, b.command(t, "version", "--json"))), &v); err != nil {
				t.Fatal(err)
			}
			if v.Version != b.info.Main.Version || v.Go != b.info.GoVersion || v.OS != b.os || v.Arch != b.arch {
				t.Errorf("version %+v, built as %s by %s", v, b.info.Main.Version, b.info.GoVersion)
			}
			if help := output(t, b.command(t, "help")); !strings.Contains(help, "certify") ||
				!strings.Contains(help, "serve") {
				t.Errorf("help: %s", help)
			}
			var findings []struct{ Level, Name, Value string }
			if err := json.Unmarshal([]byte(output(t, b.command(t, "doctor", "--json"))), &findings); err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(findings, func(f struct{ Level, Name, Value string }) bool {
				return f.Name == "program" && strings.HasSuffix(f.Value, "linux/"+b.arch)
			}) {
				t.Errorf("doctor: %+v", findings)
			}
			answer := output(t, b.command(t, "run", "--seed", "1", "--max-tokens", "8", "Hello"))
			if len(strings.Fields(answer)) < 2 {
				t.Errorf("answer: %q", answer)
			}
		})
	}
}

// TestCertifies: the binary of this machine certifies the built-in model, as a user would, and its report verifies.
func TestCertifies(t *testing.T) {
	ran := false
	for _, b := range binaries(t) {
		if b.os != runtime.GOOS || b.arch != runtime.GOARCH {
			continue
		}
		ran = true
		cmd := exec.CommandContext(t.Context(), "sh", "../../scripts/e2e.sh", b.path)
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "e2e: passed") {
			t.Errorf("%v\n%s", err, out)
		}
	}
	if !ran {
		need.Missing(t, "the release has no binary for %s/%s", runtime.GOOS, runtime.GOARCH)
	}
}
