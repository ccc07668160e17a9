package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/hostile"
	"github.com/hxp-enterprise/mixtral/internal/base/need"
)

// TestFullDisk certifies onto a disk with less and less room: the error says what is wrong and what to do, no
// incomplete file looks complete, and the earlier report stays unchanged.
func TestFullDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("runs certifications")
	}
	program, dir := binary(t), t.TempDir()
	tc, earlier := filepath.Join(dir, "case.yaml"), filepath.Join(dir, "earlier")
	t.Setenv("MIXTRAL_DATABASE_URL", "sqlite:"+filepath.Join(dir, "runs.db"))
	if err := os.WriteFile(tc, []byte(killCase), 0o600); err != nil {
		t.Fatal(err)
	}
	certify := func(reports string) []string {
		return []string{program, "certify", tc, "--model", "synth:tiny", "--report-dir", reports, "--seed", "1"}
	}
	whole := command(t, program, certify(earlier)[1:]...)
	if len(glob(t, earlier, "*.json")) != 1 {
		t.Fatal(whole)
	}
	size, onDisk := 0, 0 // of the four files of a report
	for _, path := range glob(t, earlier, "*") {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		size += int(info.Size())
		onDisk += (int(info.Size()) + 4095) &^ 4095
	}
	for _, percent := range []int{3, 20, 60, 400} {
		for way, limited := range map[string]func(reports string, kib int, args []string) *exec.Cmd{"disk": smallDisk,
			"file size": smallFiles} {
			t.Run(fmt.Sprintf("%s %d%%", way, percent), func(t *testing.T) {
				reports := filepath.Join(t.TempDir(), "reports")
				if err := os.CopyFS(reports, os.DirFS(earlier)); err != nil {
					t.Fatal(err)
				}
				room := size * percent / 100
				if way == "disk" {
					room += onDisk // for the files that exist already
				}
				cmd := limited(reports, (room+1023)/1024, certify(reports))
				var out bytes.Buffer
				cmd.Stdout, cmd.Stderr = &out, &out
				var exit *exec.ExitError
				if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
					need.Missing(t, "no name spaces here: %v", err)
				}
				code := cmd.ProcessState.ExitCode()
				if code == noMount {
					need.Missing(t, "cannot mount here: %s", out.String())
				}
				said := out.String()
				full := strings.Contains(said, "no space left") || strings.Contains(said, "file too large")
				switch {
				case code == exitSetup:
					if !full || !strings.Contains(said, "\nhint: free some space") || strings.Contains(said, "panic") {
						t.Errorf("it says %s", said)
					}
				case !isVerdict(code) || percent < 100:
					t.Errorf("exit code %d: %s", code, said)
				}
				if n := len(glob(t, reports, "*.json")); (n == 2) != (percent > 100) {
					t.Errorf("%d reports after exit code %d", n, code)
				}
				checkReports(t, program, reports, said)
				for _, path := range glob(t, earlier, "*") {
					before, err := os.ReadFile(path)
					if err != nil {
						t.Fatal(err)
					}
					if after, err := os.ReadFile(filepath.Join(reports, filepath.Base(path))); err != nil ||
						!bytes.Equal(before, after) {
						t.Errorf("%s changed: %v", filepath.Base(path), err)
					}
				}
			})
		}
	}
	hostile.Survived(t, "a disk or a file size that runs out under `certify`", 8, 6,
		"an error that says so; no incomplete report, and the earlier one unchanged")
}

// noMount is the exit code of smallDisk if mounting is not allowed.
const noMount = 99

// smallDisk runs a command with a directory on a file system of that many KiB, which exists as long as the command;
// its content is copied back afterwards.
func smallDisk(dir string, kib int, args []string) *exec.Cmd {
	const script = `
dir=$1 size=$2 keep=$1.kept; shift 2
mv "$dir" "$keep" && mkdir "$dir" && mount -t tmpfs -o size=${size}k,mode=755 none "$dir" && cp -a "$keep/." "$dir" || { rm -rf "$dir"; mv "$keep" "$dir"; exit 99; }
"$@"; code=$?
cp -a "$dir/." "$keep" && umount "$dir" && rmdir "$dir" && mv "$keep" "$dir"
exit $code`
	return inNameSpace(exec.Command("sh", append([]string{"-c", script, "sh", dir, fmt.Sprint(kib)}, args...)...))
}

// inNameSpace lets a command mount file systems that only it can see.
func inNameSpace(cmd *exec.Cmd) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return cmd
}

// smallFiles runs a command that may not write files of more than that many KiB.
func smallFiles(_ string, kib int, args []string) *exec.Cmd {
	// in units of 512 bytes
	return exec.Command("sh", append([]string{"-c", `ulimit -f "$1" && shift && exec "$@"`, "sh",
		fmt.Sprint(2 * kib)}, args...)...)
}
