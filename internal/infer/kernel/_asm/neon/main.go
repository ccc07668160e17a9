// Command neon writes the arm64 assembly of internal/infer/kernel: run `go generate ./internal/infer/kernel`. It
// prints text and must not import anything but the standard library.
//
// Go's assembler does not know most vector instructions, so every one of them is written as the word that encodes it,
// with its usual notation as a comment: assemble.go is the one place that encodes. Loads, stores, addresses and
// branches are left to Go's assembler. Of what the other files write there is a file of assembly for each format:
//
//	extract.go   how a format's weights are taken out of its panels (shared by the next two)
//	gemv.go      one column, straight from the panels
//	unpack.go    a block of a panel to signed bytes, in the order that tiles read
//	tile.go      four columns times unpacked weights: a file for formats whose scales are alike
//	scales.go    the super-blocks' scales
//	floats.go    products of F32, F16, BF16
//	about.go     what the heads of files say
//
// Others have no format's own functions, and write a file each:
//
//	transpose.go blocks of formats with a grid to rows, and rows of codes to the order of tiles
//	vector.go    element-wise functions
//	exp.go       those with an exponential
//	attend.go    attention
package main

import (
	"bytes"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// file collects one assembly file.
type file struct {
	bytes.Buffer
	labels int
}

// p writes an instruction of Go's assembler, l a label, c a comment.
func (f *file) p(format string, args ...any) { fmt.Fprintf(f, "\t"+format+"\n", args...) }
func (f *file) l(label string)               { fmt.Fprintf(f, "%s:\n", label) }
func (f *file) c(format string, args ...any) { fmt.Fprintf(f, "\t// "+format+"\n", args...) }

// v writes a vector instruction.
func (f *file) v(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	word, err := assemble(text)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprintf(f, "\tWORD $0x%08x // %s\n", word, text)
}

// label makes a name that is new in this file.
func (f *file) label(name string) string {
	f.labels++
	return fmt.Sprintf("%s%d", name, f.labels)
}

// text begins a function whose arguments take size bytes. doc says what it does.
func (f *file) text(name, signature string, size int, doc string) {
	fmt.Fprintf(f, "\n// func %s%s\n//\n", name, signature)
	f.comment(doc)
	fmt.Fprintf(f, "TEXT ·%s(SB), NOSPLIT, $0-%d\n", name, size)
}

// comment writes text in lines that end before column 120. A line of text that ends a sentence ends one of these.
func (f *file) comment(text string) {
	line := "//"
	end := func() {
		if line != "//" {
			f.WriteString(line + "\n")
		}
		line = "//"
	}
	for part := range strings.Lines(text) {
		for word := range strings.FieldsSeq(part) {
			if utf8.RuneCountInString(line+" "+word) > 119 {
				end()
			}
			line += " " + word
		}
		if strings.HasSuffix(strings.TrimSpace(part), ".") {
			end()
		}
	}
	end()
}

// loop writes body count times, where reg counts down.
func (f *file) loop(name, reg string, body func()) {
	l := f.label(name)
	f.l(l)
	body()
	f.p("SUBS $1, %s, %s", reg, reg)
	f.p("BNE  %s", l)
}

// zero clears n vectors from first on.
func (f *file) zero(first, n int) {
	for i := range n {
		f.v("movi v%d.2d, #0", first+i)
	}
}

// bytes fills vectors with a byte.
func (f *file) bytes(reg, value int) { f.v("movi v%d.16b, #%d", reg, value) }

// output is one generated file.
type output struct {
	kernel string // what its functions do, the first part of its name
	format string // of weights, or a kind of several formats; "": the file has no format's own functions
	about  string // the head of the file
	emit   func(f *file)
}

// name is KERNEL_FORMAT_arm64.s.
func (o *output) name() string {
	parts := []string{o.kernel, strings.ToLower(o.format), "arm64.s"}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), "_")
}

// outputs lists all files.
func outputs() []output {
	var all []output
	for _, c := range classics() {
		all = append(all, output{"gemv", c.format, aboutGemv + c.layout(), c.gemv},
			output{"unpack", c.format, aboutUnpack + c.layout(), c.unpack})
	}
	for _, s := range supers() {
		all = append(all, output{"gemv", s.format, aboutGemv + s.layout(), s.gemvs},
			output{"unpack", s.format, aboutUnpack + s.layout(), s.unpack})
	}
	for _, k := range tileKinds {
		all = append(all, output{"tile", k.name, aboutTile + k.doc, k.emit})
	}
	for _, format := range []string{"F32", "F16", "BF16"} {
		all = append(all, output{"float", format, aboutFloat, func(f *file) { floats(f, format) }})
	}
	return append(all, output{"rows", "", aboutRows, transposes}, output{"vec", "", aboutVec, vectors},
		output{"exp", "", aboutExp, exponentials}, output{"attend", "", aboutAttend, attention})
}

func main() {
	log.SetFlags(0)
	dir := "."
	if len(os.Args) > 1 {
		dir = os.Args[1]
	}
	for _, o := range outputs() {
		f := new(file)
		f.WriteString("// Code generated by command: go run ./_asm/neon. DO NOT EDIT.\n\n")
		f.comment(o.about + aboutWords)
		f.WriteString("\n#include \"textflag.h\"\n")
		o.emit(f)
		if err := os.WriteFile(filepath.Join(dir, o.name()), f.Bytes(), 0o644); err != nil {
			log.Fatal(err)
		}
	}
}
