package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

// TestNumbersOutOfRange gives every numeric flag of every command numbers out of its range: the answer is exit code 2
// and an error that says which flag, what is allowed and what was given. A flag without a range tag must be checked by
// the command itself.
func TestNumbersOutOfRange(t *testing.T) {
	parser, err := kong.New(new(cli))
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, node := range commands(parser.Model.Node) {
		if len(node.Children) > 0 {
			continue
		}
		for _, f := range node.Flags {
			for _, value := range numbersOutside(t, f) {
				tried++
				wrongNumber(t, node, f, value)
			}
		}
	}
	if tried < 80 {
		t.Errorf("only %d numbers were tried", tried)
	}
}

// numbersOutside returns numbers that a flag must refuse: those just beyond its bounds, and for floats NaN and
// infinity.
func numbersOutside(t *testing.T, f *kong.Flag) (all []string) {
	typ := f.Target.Type()
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	float := typ.Kind() == reflect.Float64
	tag := f.Tag.Get("range")
	switch {
	case f.Name == "seed": // every number is one
		return nil
	case !float && typ.Kind() != reflect.Int && typ.Kind() != reflect.Int64:
		return nil
	case tag == "":
		return []string{"-1"}
	}
	s, err := parseSpan(tag)
	if err != nil {
		t.Fatalf("--%s: %v", f.Name, err)
	}
	step := func(text string, by int) string {
		if typ == reflect.TypeFor[time.Duration]() {
			d, err := time.ParseDuration(text)
			if err != nil {
				t.Fatalf("--%s: %v", f.Name, err)
			}
			return (d + time.Duration(by)).String()
		}
		var n float64
		if _, err := fmt.Sscan(text, &n); err != nil {
			t.Fatalf("--%s: %q: %v", f.Name, text, err)
		}
		if float {
			return fmt.Sprint(math.Nextafter(n, math.Inf(by)))
		}
		return fmt.Sprintf("%.0f", n+float64(by))
	}
	all = append(all, step(s.least, -1))
	if s.above {
		all = append(all, s.least)
	}
	if s.most != "" {
		all = append(all, step(s.most, 1))
	}
	if float {
		all = append(all, "NaN", "+Inf")
	}
	return all
}

func wrongNumber(t *testing.T, node *kong.Node, f *kong.Flag, value string) {
	args := strings.Fields(node.FullPath())[1:]
	for range node.Positional {
		args = append(args, filepath.Join(t.TempDir(), "x"))
	}
	for _, other := range node.Flags {
		if other.Required {
			args = append(args, "--"+other.Name+"="+filepath.Join(t.TempDir(), "x"))
		}
	}
	args = append(args, "--"+f.Name+"="+value)
	ctx, stop := context.WithCancel(t.Context())
	stop() // a command that takes the number ends at once
	var out, errs bytes.Buffer
	code := run(&app{ctx: ctx, stdout: &out, stderr: &errs, getenv: os.Getenv}, args)
	text := strings.NewReplacer("_", "-", `"`, "").Replace(errs.String())
	if code != exitUsage || !strings.Contains(text, f.Name+": must be ") || !strings.Contains(text, "got "+value) {
		t.Errorf("mixtral %s: code %d, %s", strings.Join(args, " "), code, errs.String())
	}
}
