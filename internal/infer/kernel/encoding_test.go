package kernel

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/need"
)

// encoded is a line of arm64 assembly that Go's assembler does not know: the word, and what it is meant to be.
type encoded struct {
	word uint32
	text string
}

// encodings collects those of all files, each once.
func encodings(t *testing.T) []encoded {
	t.Helper()
	files, err := filepath.Glob("*_arm64.s")
	if err != nil || len(files) < 30 {
		t.Fatalf("files %v, %v", files, err)
	}
	line := regexp.MustCompile(`^\tWORD \$0x([0-9a-f]{8}) // (.+)$`)
	var all []encoded
	seen := map[encoded]bool{}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for text := range strings.Lines(string(data)) {
			if !strings.Contains(text, "WORD") {
				continue
			}
			m := line.FindStringSubmatch(strings.TrimRight(text, "\n"))
			if m == nil {
				t.Fatalf("%s: %q is not a word with its meaning", name, text)
			}
			word, err := strconv.ParseUint(m[1], 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			if e := (encoded{uint32(word), m[2]}); !seen[e] {
				seen[e] = true
				all = append(all, e)
			}
		}
	}
	if len(all) < 1000 {
		t.Fatalf("only %d words", len(all))
	}
	return all
}

// TestEncodingsAreTheAssemblers: GNU's assembler makes the same words of what the comments say.
func TestEncodingsAreTheAssemblers(t *testing.T) {
	if !onBest() {
		return
	}
	const tool = "aarch64-linux-gnu-as"
	if _, err := exec.LookPath(tool); err != nil {
		need.Missing(t, "%s is not installed (Debian's package binutils-aarch64-linux-gnu)", tool)
	}
	all := encodings(t)
	var source strings.Builder
	for _, e := range all {
		fmt.Fprintln(&source, e.text)
	}
	object := filepath.Join(t.TempDir(), "words.o")
	as := exec.CommandContext(t.Context(), tool, "-march=armv8.6-a", "-o", object, "-")
	as.Stdin = strings.NewReader(source.String())
	if out, err := as.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f, err := elf.Open(object)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := f.Section(".text").Data()
	if err != nil || len(data) != 4*len(all) {
		t.Fatalf("%d bytes for %d instructions, %v", len(data), len(all), err)
	}
	for i, e := range all {
		if want := binary.LittleEndian.Uint32(data[4*i:]); e.word != want {
			t.Errorf("%s is %08x, want %08x", e.text, e.word, want)
		}
	}
}

// diagrams are the fields of Arm's reference manual (DDI 0487, C7.2) of the two instructions that no other test knows
// where GNU's assembler is missing: d, n and m are registers, H, L the bits of an index.
var diagrams = map[string]string{
	"sdot v%d.4s, v%d.16b, v%d.4b[%d]": "0 1 0 01111 10 L mmmmm 1110 H 0 nnnnn ddddd",
	"smmla v%d.4s, v%d.16b, v%d.16b":   "0 1 0 01110 10 0 mmmmm 1010 0 1 nnnnn ddddd",
}

// TestEncodingsFollowTheManual composes SDOT and SMMLA from their diagrams, for all registers in use.
func TestEncodingsFollowTheManual(t *testing.T) {
	if !onBest() {
		return
	}
	count := map[string]int{}
	for _, e := range encodings(t) {
		for format, diagram := range diagrams {
			var v [4]uint32
			n, err := fmt.Sscanf(e.text, format, &v[0], &v[1], &v[2], &v[3])
			if want := strings.Count(format, "%d"); n != want || err != nil && want == 4 {
				continue
			}
			name, _, _ := strings.Cut(format, " ")
			if !strings.HasPrefix(e.text, name+" ") {
				continue
			}
			count[name]++
			fields := map[byte]uint32{'d': v[0], 'n': v[1], 'm': v[2], 'H': v[3] >> 1, 'L': v[3] & 1}
			var want uint32
			bits := []byte(strings.ReplaceAll(diagram, " ", ""))
			if len(bits) != 32 {
				t.Fatalf("the diagram of %s has %d bits", name, len(bits))
			}
			slices.Reverse(bits)
			for i, b := range bits {
				switch b {
				case '0', '1':
					want |= uint32(b-'0') << i
				default:
					want |= fields[b] & 1 << i
					fields[b] >>= 1
				}
			}
			if e.word != want {
				t.Errorf("%s is %08x, want %08x", e.text, e.word, want)
			}
		}
	}
	if count["sdot"] < 50 || count["smmla"] < 10 {
		t.Errorf("looked at %v", count)
	}
}
