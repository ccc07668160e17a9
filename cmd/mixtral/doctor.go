package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/hxp-enterprise/mixtral/internal/base/host"
	"github.com/hxp-enterprise/mixtral/internal/infer/engine"
	"github.com/hxp-enterprise/mixtral/internal/infer/kernel"
	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// doctorCmd says what the machine can run.
type doctorCmd struct {
	Port int    `range:"0..65535" default:"11400" placeholder:"N" help:"Port to check; default: ${default}."`
	Dir  string `default:"." placeholder:"DIR" help:"Directory whose free space is checked; default: the current one."`
	JSON bool   `help:"Print JSON."`
}

// facts holds what was found; what could not be found has an error beside it.
type facts struct {
	OS, Arch  string
	Tier      string
	Refused   error                 // why it is not the tier that the environment asked for
	Peaks     []kernel.Peak         // of the machine's tiers, lowest first
	Wants     testcases.Environment // of the default test case
	Limits    host.Limits
	DiskFree  int64
	DiskErr   error
	OpenFiles uint64
	FilesErr  error
	HugePages string
	PagesErr  error
	PortErr   error
	Port      int
}

// finding is one line of the result.
type finding struct {
	Level string `json:"level"` // "ok"; "note": works with a drawback; "bad": something will fail
	Name  string `json:"name"`
	Value string `json:"value"`
	Hint  string `json:"hint,omitempty"`
}

func (d doctorCmd) Run(a *app) error {
	wanted, err := testcases.Load(testcases.Default)
	if err != nil {
		return err
	}
	f := facts{OS: runtime.GOOS, Arch: runtime.GOARCH, Tier: kernel.Tier(), Refused: kernel.TierRefused(),
		Peaks: kernel.Peaks(0), Wants: wanted.Case.Environment, Limits: host.Read(), Port: d.Port}
	f.DiskFree, f.DiskErr = host.DiskFree(d.Dir)
	f.OpenFiles, f.FilesErr = host.OpenFiles()
	f.HugePages, f.PagesErr = host.HugePages()
	f.PortErr = portFree(d.Port)
	findings := diagnose(f)
	if d.JSON {
		enc := json.NewEncoder(a.stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(findings); err != nil {
			return err
		}
	} else if err := printFindings(a, findings); err != nil {
		return err
	}
	for _, f := range findings {
		if f.Level == "bad" {
			return exitWith(exitSetup)
		}
	}
	return nil
}

func portFree(port int) error {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	return l.Close()
}

func printFindings(a *app, findings []finding) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, f := range findings {
		fmt.Fprintf(w, "%s\t%s\t%s\n", f.Level, f.Name, f.Value)
		if f.Hint != "" {
			fmt.Fprintf(w, "\t\thint: %s\n", f.Hint)
		}
	}
	return w.Flush()
}

// diagnose judges the facts.
func diagnose(f facts) []finding {
	return []finding{
		{Level: "ok", Name: "program", Value: versionString()},
		diagnoseCPU(f), diagnoseCores(f), diagnoseMemory(f), diagnoseModels(f), diagnoseDisk(f), diagnosePages(f),
		diagnoseFiles(f), diagnosePort(f),
	}
}

// A cpuTier is an instruction set with kernels of its own.
type cpuTier struct {
	name, needs string
	gain        string // relative to the tier before it
}

// byCount is the gain of tiers that were run only under an emulator.
const byCount = "prompts up to twice as fast by the number of instructions; not timed"

// cpuTiers lists the tiers of each architecture, lowest first. The gain of a tier follows from the products of 8-bit
// numbers per instruction: for 32 bytes AVX2 needs three instructions and AVX-VNNI one, and AVX-512 doubles the bytes.
var cpuTiers = map[string][]cpuTier{
	"amd64": {
		{"avx2", "AVX2 and FMA: most processors since 2013", "many times as fast"},
		{"avxvnni", "AVX-VNNI: Alder Lake 2021, Zen 5 2024 and later", "prompts up to twice as fast"},
		{"avx512", "AVX-512 VNNI: Ice Lake 2019, Zen 4 2022 and later, without desktop Intel",
			"prompts up to twice as fast as with AVX-VNNI, three times as with AVX2"},
	},
	"arm64": {
		{"neon", "NEON: every arm64 processor", "many times as fast"},
		{"neon-dotprod", "SDOT: Apple M1, Graviton 2, Ampere Altra and later", byCount},
		{"neon-i8mm", "SMMLA: Apple M2, Graviton 3 and later", byCount},
	},
}

// nextTier returns the tier above the named one.
func nextTier(arch, name string) (next cpuTier, ok bool) {
	all := cpuTiers[arch]
	i := slices.IndexFunc(all, func(t cpuTier) bool { return t.name == name }) + 1
	if i == len(all) {
		return cpuTier{}, false
	}
	return all[i], true
}

func diagnoseCPU(f facts) finding {
	out := finding{Level: "ok", Name: "cpu", Value: "kernels for " + f.Tier}
	var peak float64
	for _, p := range f.Peaks {
		if p.Tier == f.Tier {
			peak = p.GOPs
			out.Value += fmt.Sprintf(" (%.0f billion 8-bit operations/s)", p.GOPs)
		}
	}
	if f.Refused != nil {
		out.Level, out.Hint = "note", f.Refused.Error()
		return out
	}
	best := f.Peaks[len(f.Peaks)-1]
	next, more := nextTier(f.Arch, f.Tier)
	if best.Tier == f.Tier && f.Tier != "generic" && !more {
		return out
	}
	const bound = "; decoding is bound by memory and gains less"
	switch {
	case f.Tier != best.Tier:
		out.Level = "note"
		out.Hint = fmt.Sprintf("the machine can do %s, %.1f times that: unset MIXTRAL_CPU_TIER", best.Tier,
			best.GOPs/max(peak, 1e-9))
	case f.Tier == "generic":
		out.Level = "note"
		out.Hint = "this processor has no optimised kernels: expect a small fraction of the speed"
		if more {
			out.Hint += "; the next tier, " + next.name + ", needs " + next.needs
		}
	default:
		out.Hint = fmt.Sprintf("the next tier, %s, needs %s: %s%s", next.name, next.needs, next.gain, bound)
	}
	return out
}

func diagnoseCores(f facts) finding {
	n, why := f.Limits.Usable()
	out := finding{Level: "ok", Name: "cores", Value: fmt.Sprintf("%d usable (%s)", n, why)}
	if n < f.Wants.CPUCores {
		out.Level, out.Hint = "note", fmt.Sprintf("%s asks for %d: it can run here, but its report will state the "+
			"difference", testcases.Default, f.Wants.CPUCores)
	}
	return out
}

func diagnoseMemory(f facts) finding {
	bound, why := f.Limits.MemoryBound()
	if bound == 0 {
		return finding{Level: "note", Name: "memory", Value: "unknown",
			Hint: "set memory_limit_gb to what the service may use"}
	}
	out := finding{Level: "ok", Name: "memory", Value: fmt.Sprintf("%s (%s), %s free of the machine's %s",
		binarySize(bound), why, binarySize(f.Limits.Available), binarySize(f.Limits.Memory))}
	switch {
	case f.Limits.Available < bound/2:
		out.Level, out.Hint = "note", "other programs hold much of it: stop them, or lower memory_limit_gb"
	case float64(bound) < f.Wants.MemoryGB*(1<<30):
		out.Level, out.Hint = "note", fmt.Sprintf("%s asks for %g GiB: the model must be quantised to fit here",
			testcases.Default, f.Wants.MemoryGB)
	}
	return out
}

// servedContext is the context, in tokens, that a format must leave room for: four times the usual answer.
const servedContext = 4096

// served returns the memory that Mixtral-8x7B needs with all matrices in one format, with one context.
func served(t quant.Type) int64 {
	shape := synth.Full()
	shape.Type = t
	file, err := synth.Size(shape) // packed weights are about as large as their file
	if err != nil {
		panic(err) // the shape suits all formats, as a test checks
	}
	info := moe.Info{Packed: file, Config: moe.Config{Layers: shape.Layers, KVHeads: shape.KVHeads,
		HeadDim: shape.Dim / shape.Heads}}
	return engine.FootprintOf(info, quant.KVF16, servedContext).Need(1)
}

// formats from the best to the smallest.
var formats = []quant.Type{quant.F16, quant.Q8_0, quant.Q6_K, quant.Q5_K, quant.Q4_K, quant.Q3_K, quant.Q2_K}

func diagnoseModels(f facts) finding {
	bound, _ := f.Limits.MemoryBound()
	for _, t := range formats {
		if bound >= served(t) {
			return finding{Level: "ok", Name: "mixtral-8x7b",
				Value: fmt.Sprintf("fits as %v (%s with a context of %d tokens)", t, binarySize(served(t)),
					servedContext)}
		}
	}
	smallest := formats[len(formats)-1]
	return finding{Level: "note", Name: "mixtral-8x7b", Value: "does not fit in any format",
		Hint: fmt.Sprintf("the smallest, %v, takes %s; the built-in model and small synthetic models run "+
			"everywhere", smallest, binarySize(served(smallest)))}
}

func diagnoseDisk(f facts) finding {
	switch {
	case f.DiskErr != nil:
		return finding{Level: "note", Name: "disk", Value: f.DiskErr.Error()}
	case float64(f.DiskFree) < f.Wants.StorageGB*(1<<30):
		return finding{Level: "note", Name: "disk", Value: binarySize(f.DiskFree) + " free",
			Hint: fmt.Sprintf("%s asks for %g GiB; --dir looks at another place", testcases.Default,
				f.Wants.StorageGB)}
	}
	return finding{Level: "ok", Name: "disk", Value: binarySize(f.DiskFree) + " free"}
}

func diagnosePages(f facts) finding {
	out := finding{Level: "ok", Name: "huge pages", Value: f.HugePages}
	switch {
	case f.PagesErr != nil:
		out.Level, out.Value = "note", f.PagesErr.Error()
	case f.HugePages == "never":
		out.Level, out.Hint = "note",
			"weights are read about 20 % slower in small pages: echo madvise > "+
				"/sys/kernel/mm/transparent_hugepage/enabled"
	}
	return out
}

func diagnoseFiles(f facts) finding {
	const enough = 1024 // connections of a full queue, and some more
	switch {
	case f.FilesErr != nil:
		return finding{Level: "note", Name: "open files", Value: f.FilesErr.Error()}
	case f.OpenFiles < enough:
		return finding{Level: "note", Name: "open files", Value: fmt.Sprint(f.OpenFiles),
			Hint: fmt.Sprintf("each connection takes one: ulimit -n %d", 16*enough)}
	case f.OpenFiles > 1<<40:
		return finding{Level: "ok", Name: "open files", Value: "no limit"}
	}
	return finding{Level: "ok", Name: "open files", Value: fmt.Sprint(f.OpenFiles)}
}

func diagnosePort(f facts) finding {
	name := fmt.Sprintf("port %d", f.Port)
	switch {
	case f.PortErr == nil:
		return finding{Level: "ok", Name: name, Value: "free"}
	case errors.Is(f.PortErr, syscall.EADDRINUSE):
		return finding{Level: "bad", Name: name, Value: "in use",
			Hint: "if the other program is not this service, stop it, or serve with --port"}
	}
	return finding{Level: "bad", Name: name, Value: strings.TrimPrefix(f.PortErr.Error(), "listen tcp "),
		Hint: "serve with another --port"}
}
