package kernel

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"golang.org/x/sys/cpu"
)

// vexDot disassembles VPDPBUSD of three 256-bit registers in its VEX form, as Intel's manual has it:
// VEX.256.66.0F38.W0 50 /r. The result is in Go's order of operands.
func vexDot(b []byte) (string, error) {
	if len(b) != 5 || b[0] != 0xc4 {
		return "", fmt.Errorf("% x has no three-byte VEX prefix and length 5", b)
	}
	bit := func(v byte, n int) int { return int(v >> n & 1) }
	reg, index, rm := 1-bit(b[1], 7), 1-bit(b[1], 6), 1-bit(b[1], 5)
	switch {
	case b[1]&0x1f != 2:
		return "", fmt.Errorf("opcode map %d is not 0F38", b[1]&0x1f)
	case index != 0:
		return "", fmt.Errorf("an index register is extended")
	case bit(b[2], 7) != 0, bit(b[2], 2) != 1, b[2]&3 != 1:
		return "", fmt.Errorf("%#x has not W 0, 256 bits and prefix 66", b[2])
	case b[3] != 0x50:
		return "", fmt.Errorf("opcode %#x is not 50", b[3])
	case b[4]>>6 != 3:
		return "", fmt.Errorf("%#x: an operand is in memory", b[4])
	}
	vvvv := int(^b[2] >> 3 & 15)
	return fmt.Sprintf("VPDPBUSD Y%d, Y%d, Y%d", rm<<3|int(b[4]&7), vvvv, reg<<3|int(b[4]>>3&7)), nil
}

// TestVEXDot holds the disassembler to encodings that GNU as 2.40 gives.
func TestVEXDot(t *testing.T) {
	for text, code := range map[string][]byte{
		"VPDPBUSD Y14, Y12, Y0":  {0xc4, 0xc2, 0x1d, 0x50, 0xc6},
		"VPDPBUSD Y1, Y2, Y3":    {0xc4, 0xe2, 0x6d, 0x50, 0xd9},
		"VPDPBUSD Y15, Y11, Y10": {0xc4, 0x42, 0x25, 0x50, 0xd7},
	} {
		if got, err := vexDot(code); got != text || err != nil {
			t.Errorf("% x is %q, %v; want %q", code, got, err, text)
		}
	}
	for _, code := range [][]byte{{0xc4, 0xc1, 0x1d, 0x50, 0xc6}, {0xc4, 0xc2, 0x19, 0x50, 0xc6},
		{0xc4, 0xc2, 0x9d, 0x50, 0xc6}, {0xc4, 0xc2, 0x1d, 0x51, 0xc6}, {0xc4, 0xc2, 0x1d, 0x50, 0x06},
		{0xc4, 0x82, 0x1d, 0x50, 0xc6}, {0x62, 0xc2, 0x1d, 0x50, 0xc6}} {
		if got, err := vexDot(code); err == nil {
			t.Errorf("% x is taken for %s", code, got)
		}
	}
}

// TestVNNIEncodings: every instruction that is written as bytes is the one that its comment says.
func TestVNNIEncodings(t *testing.T) {
	files, err := filepath.Glob("*_avxvnni_amd64.s")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	hex := regexp.MustCompile(`BYTE \$0x([0-9a-f]{2})`)
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for line := range strings.Lines(string(text)) {
			if !strings.Contains(line, "BYTE $") {
				continue
			}
			var code []byte
			for _, m := range hex.FindAllStringSubmatch(line, -1) {
				b, err := strconv.ParseUint(m[1], 16, 8)
				if err != nil {
					t.Fatal(err)
				}
				code = append(code, byte(b))
			}
			_, want, _ := strings.Cut(strings.TrimSpace(line), "// ")
			if got, err := vexDot(code); got != want || err != nil {
				t.Errorf("%s: % x is %q, %v; the comment says %q", name, code, got, err, want)
			}
			n++
		}
		if n < 12 {
			t.Errorf("%s has %d encoded instructions", name, n)
		}
	}
}

// TestVNNIByEVEX runs the kernels' tests on the AVX-VNNI tier, among others, where the processor has VPDPBUSD as
// AVX-512 encodes it and not as AVX-VNNI does: on a build of this package in which the one takes the place of the
// other. The tier's other instructions, and the order of all, stay.
func TestVNNIByEVEX(t *testing.T) {
	const inside = "MIXTRAL_TEST_EVEX" // set in that build
	switch {
	case os.Getenv(inside) != "" || Tier() != bestTier().name || testing.Short():
		return // it builds and tests this package once more, which is done once, whatever tier is in use
	case cpu.X86.HasAVXVNNI:
		t.Log("the processor has AVX-VNNI, and all tests ran on the tier")
		return
	case !cpu.X86.HasAVX512VL || !cpu.X86.HasAVX512VNNI:
		t.Log("the processor has VPDPBUSD in no form: the kernels of the AVX-VNNI tier have not run")
		return
	}
	dir := t.TempDir()
	if out, err := exec.Command("go", "run", "./_asm", "-evex", dir).CombinedOutput(); err != nil {
		t.Fatalf("generator: %v\n%s", err, out)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	const flag = "avxvnni_amd64.go"
	if err := os.WriteFile(filepath.Join(dir, flag), []byte("package kernel\n\nvar hasAVXVNNI = true\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	replace := map[string]string{filepath.Join(here, flag): filepath.Join(dir, flag)}
	files, err := filepath.Glob(filepath.Join(dir, "*_avxvnni_amd64.s"))
	if err != nil || len(files) == 0 {
		t.Fatal("the generator wrote no files of the tier", err)
	}
	for _, f := range files {
		replace[filepath.Join(here, filepath.Base(f))] = f
	}
	overlay := filepath.Join(dir, "overlay.json")
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(overlay, data, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "test", "-count=1", "-overlay", overlay, "-v", "-run",
		"^TestMul|^TestNaN|^TestGrid|^FuzzMul$", ".")
	cmd.Env = append(os.Environ(), inside+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if n := strings.Count(string(out), "--- PASS: TestMulExact/avxvnni/"); n < len(quant.Types()) {
		t.Errorf("%d formats of %d went through the tier", n, len(quant.Types()))
	}
}
