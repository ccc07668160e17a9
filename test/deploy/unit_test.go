package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral"
	"github.com/hxp-enterprise/mixtral/internal/base/need"
)

const unitPath = "../../deploy/systemd/mixtral.service"

func file(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// directives are those that the unit may use, by section: a misspelt one is only ignored by systemd, with what it
// protects.
var directives = map[string][]string{
	"Unit": {"Description", "Documentation", "After", "Wants"},
	"Service": {"Type", "ExecStart", "ExecReload", "TimeoutStopSec", "Restart", "RestartSec", "DynamicUser",
		"StateDirectory", "Environment",
		"CPUQuota", "MemoryMax", "MemorySwapMax", "LimitNOFILE", "NoNewPrivileges", "ProtectSystem", "ProtectHome",
		"PrivateTmp",
		"PrivateDevices", "ProtectKernelTunables", "ProtectKernelModules", "ProtectKernelLogs", "ProtectClock",
		"ProtectHostname",
		"ProtectProc", "ProtectControlGroups", "RestrictAddressFamilies", "RestrictNamespaces", "RestrictRealtime",
		"RestrictSUIDSGID",
		"LockPersonality", "MemoryDenyWriteExecute", "SystemCallArchitectures", "SystemCallFilter",
		"CapabilityBoundingSet", "UMask"},
	"Install": {"WantedBy"},
}

// TestUnit reads the unit as strictly as systemd should.
func TestUnit(t *testing.T) {
	section, values := "", map[string]string{}
	for i, line := range strings.Split(file(t, unitPath), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if strings.HasPrefix(line, "[") {
			section = strings.Trim(line, "[]")
			if directives[section] == nil {
				t.Errorf("line %d: no section %s", i+1, section)
			}
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || !slices.Contains(directives[section], name) {
			t.Errorf("line %d: %q does not belong into [%s]", i+1, line, section)
		}
		if _, twice := values[name]; twice {
			t.Errorf("line %d: %s stands twice", i+1, name)
		}
		values[name] = value
	}
	// What the unit promises must be what the service does.
	c := mixtral.DefaultConfig()
	if got := values["CPUQuota"]; got != strconv.Itoa(c.CPUCores*100)+"%" {
		t.Errorf("CPUQuota %s, cpu_cores %d", got, c.CPUCores)
	}
	if got := values["MemoryMax"]; got != strconv.Itoa(int(c.MemoryLimitGB))+"G" {
		t.Errorf("MemoryMax %s, memory_limit_gb %v", got, c.MemoryLimitGB)
	}
	if stop, err := strconv.Atoi(values["TimeoutStopSec"]); err != nil || float64(stop) <= c.DrainTimeoutS {
		t.Errorf("TimeoutStopSec %s cuts a drain of %v s off", values["TimeoutStopSec"], c.DrainTimeoutS)
	}
	if values["DynamicUser"] != "yes" || values["NoNewPrivileges"] != "yes" || values["ProtectSystem"] != "strict" ||
		values["CapabilityBoundingSet"] != "" {
		t.Error("the service may do more than it needs")
	}
}

// TestUnitBySystemd asks systemd itself, where it is installed: also how exposed the service would be.
func TestUnitBySystemd(t *testing.T) {
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		need.Missing(t, "systemd-analyze is not installed (Debian's package systemd)")
	}
	// The program need not be installed where the tests run.
	unit := strings.Replace(file(t, unitPath), "/usr/local/bin/mixtral", "/bin/true", -1)
	verify := func(unit string) string {
		path := filepath.Join(t.TempDir(), "mixtral.service")
		if err := os.WriteFile(path, []byte(unit), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(tool, "verify", "--man=no", path).CombinedOutput()
		if err != nil {
			return string(out) + err.Error()
		}
		return string(out)
	}
	if got := verify(unit); got != "" {
		t.Errorf("systemd-analyze verify: %s", got)
	}
	if got := verify(strings.Replace(unit, "ProtectSystem", "ProtectSystm", 1)); !strings.Contains(got,
		"ProtectSystm") {
		t.Errorf("a misspelt directive passes: %s", got)
	}
	path := filepath.Join(t.TempDir(), "mixtral.service")
	if err := os.WriteFile(path, []byte(unit), 0o600); err != nil {
		t.Fatal(err)
	}
	// 2.0 of 10, in tenths; systemd calls below 5 well protected.
	if out, err := exec.Command(tool, "security", "--offline=true", "--threshold=20", "--no-pager",
		path).CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}

// TestDockerfile: pinned, without rights, at the service's port.
func TestDockerfile(t *testing.T) {
	text := file(t, "../../deploy/Dockerfile")
	for _, m := range regexp.MustCompile(`(?m)^FROM (\S+)`).FindAllStringSubmatch(text, -1) {
		if m[1] != "scratch" && !pinned.MatchString(m[1]) {
			t.Errorf("the image %s is not pinned to a version", m[1])
		}
	}
	goMod := regexp.MustCompile(`(?m)^toolchain go(\S+)$`).FindStringSubmatch(file(t, "../../go.mod"))
	for name, want := range map[string]string{
		"the port":              "\nEXPOSE " + strconv.Itoa(mixtral.DefaultConfig().Port) + "\n",
		"a user without rights": "\nUSER 65532:65532\n",
		"the releases' Go":      "FROM golang:" + goMod[1] + " AS",
		"a reproducible build":  "-trimpath",
		"no C":                  "CGO_ENABLED=0",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the Dockerfile lacks %s: %q", name, want)
		}
	}
}
