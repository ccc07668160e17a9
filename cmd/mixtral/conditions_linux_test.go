package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/hostile"
	"github.com/hxp-enterprise/mixtral/internal/base/need"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// said returns a command's exit code and output.
func said(t *testing.T, cmd *exec.Cmd) (code int, text string) {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		need.Missing(t, "cannot be run here: %v", err)
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

// TestFullDiskForFiles: commands that write a file onto a disk that fills up report it, and leave only what they can
// continue.
func TestFullDiskForFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("runs commands")
	}
	program, source := binary(t), t.TempDir()
	if err := os.WriteFile(filepath.Join(source, "text.txt"), bytes.Repeat([]byte("a fox "), 300), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		words("model synth --out %s/in.gguf --dim 256 --ffn 512 --layers 2 --heads 4 --type f16", source),
		words("model pack %s/in.gguf %s/packed.gguf", source, source),
	} {
		if r := command(t, program, args...); r.code != exitOK {
			t.Fatalf("%v: %v", args, r)
		}
	}
	for _, k := range killedCommands {
		for way, limited := range map[string]func(string, int, []string) *exec.Cmd{"disk": smallDisk,
			"file size": smallFiles} {
			t.Run(k.name+", "+way, func(t *testing.T) {
				dir := t.TempDir() // out is in a separate directory
				args := k.args(source)
				for i := range args {
					if args[i] == source+"/out" {
						args[i] = dir + "/out"
					}
				}
				code, text := said(t, limited(dir, 40, append([]string{program}, args...)))
				if code == noMount {
					need.Missing(t, "cannot mount here: %s", text)
				}
				full := strings.Contains(text, "no space left") || strings.Contains(text, "file too large") ||
					strings.Contains(text, "are free")
				if code == exitOK || !full || strings.Contains(text, "panic") || strings.Contains(text, "goroutine") {
					t.Errorf("exit code %d: %s", code, text)
				}
				for name := range strings.FieldsSeq(listing(t, dir)) {
					if name != "out.part" && name != "out.part.journal" {
						t.Errorf("%s is left", name)
					}
				}
			})
		}
	}
	hostile.Survived(t, "a disk or a file size that runs out under commands that write a file", 2*len(killedCommands),
		2*len(killedCommands), "an error that says so; no file is left except those from "+
			"which the next run continues")
}

// TestFullDiskForAConversion: if the disk of the cache fills up while a directory is converted for the first time, the
// error says so and what to do. Nothing in the cache looks complete, and with enough room the next run makes the
// model.
func TestFullDiskForAConversion(t *testing.T) {
	if testing.Short() {
		t.Skip("runs commands")
	}
	shape := synth.Tiny()
	shape.Dim, shape.FFN, shape.Layers, shape.Heads, shape.Type = 256, 1024, 2, 4, quant.BF16
	dir, program := weights(t, shape), binary(t)
	args := append([]string{program}, words("eval --model %s --tokens 1,2,3 --generate 1", dir)...)
	for way, limited := range map[string]func(string, int, []string) *exec.Cmd{"disk": smallDisk,
		"file size": smallFiles} {
		for _, kib := range []int{20, 1000} { // enough for the record only, and for a part of the model
			t.Run(fmt.Sprintf("%s of %d KiB", way, kib), func(t *testing.T) {
				cache := t.TempDir()
				t.Setenv("MIXTRAL_CACHE_DIR", cache)
				code, text := said(t, limited(cache, kib, args))
				if code == noMount {
					need.Missing(t, "cannot mount here: %s", text)
				}
				full := strings.Contains(text, "no space left") || strings.Contains(text, "file too large") ||
					strings.Contains(text, "are free")
				if code == exitOK || !full || strings.Contains(text, "panic") || !strings.Contains(text, "\nhint: ") {
					t.Errorf("exit code %d: %s", code, text)
				}
				if models := glob(t, cache, "converted/*.gguf"); len(models) > 0 {
					t.Errorf("under its name: %v", models)
				}
				if r := command(t, program, args[1:]...); r.code != exitOK {
					t.Errorf("with room: %v", r)
				}
				if left := glob(t, cache, "converted/*.part*"); len(left) > 0 {
					t.Errorf("left over: %v", left)
				}
			})
		}
	}
	hostile.Survived(t, "a disk or a file size that runs out under a first conversion", 4, 4,
		"an error that says so; no file has the model's name, and the next run makes it")
}

// TestReadOnlyHome: with a home directory on a read-only disk, which even root cannot write to, commands that need no
// place there work, and the others say where they could not write.
func TestReadOnlyHome(t *testing.T) {
	const script = `mount -t tmpfs -o ro none "$1" || exit 99; export HOME="$1"; shift; exec "$@"`
	program, dir := binary(t), t.TempDir()
	for _, test := range []struct {
		args []string
		ok   bool
	}{
		{words("version"), true}, {words("model list"), true}, {words("model inspect demo"), true},
		{words("run --model synth:tiny --max-tokens 2 hi"), true}, {words("report list"), true},
		{words("model pull hf://owner/repo/file.gguf --endpoint https://192.0.2.1"), false},
		// there is no place for the converted model
		{words("run --model %s --max-tokens 2 hi", weights(t, synth.Tiny())), false},
	} {
		cmd := inNameSpace(exec.CommandContext(t.Context(), "sh", append([]string{"-c", script, "sh", dir, program},
			test.args...)...))
		cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
		code, text := said(t, cmd)
		if code == noMount {
			need.Missing(t, "cannot mount here: %s", text)
		}
		if test.ok != (code == exitOK) || strings.Contains(text, "goroutine") ||
			code != exitOK && !strings.Contains(text, "read-only file system") {
			t.Errorf("%v: exit code %d: %s", test.args, code, text)
		}
	}
	hostile.Survived(t, "a home directory that cannot be written to", 1, 1,
		"commands that need no home directory work; the others say where they cannot write")
}

// TestNoHome: commands work without a home directory, and with a read-only one; those that need one say which
// directory they could not write to.
func TestNoHome(t *testing.T) {
	program := binary(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "file") // nothing can be written below it, not even by root
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, env := range map[string][]string{
		"none":       {"PATH=" + os.Getenv("PATH")},
		"not usable": {"PATH=" + os.Getenv("PATH"), "HOME=" + file},
	} {
		for _, test := range []struct {
			args []string
			ok   bool
		}{
			{words("version"), true}, {words("model list"), true}, {words("model inspect demo"), true},
			{words("run --model synth:tiny --max-tokens 2 hi"), true}, {words("case list"), true},
			{words("report list"), false},
			// this address never answers
			{words("model pull hf://owner/repo/file.gguf --endpoint https://192.0.2.1"), false},
		} {
			cmd := exec.CommandContext(t.Context(), program, test.args...)
			cmd.Env, cmd.Dir = env, dir
			began := time.Now()
			code, text := said(t, cmd)
			if took := time.Since(began); took > time.Minute {
				t.Errorf("%s, %v took %v", name, test.args, took)
			}
			if test.ok != (code == exitOK) || strings.Contains(text, "goroutine") || code != exitOK &&
				!strings.Contains(text, "mixtral: ") {
				t.Errorf("%s, %v: exit code %d: %s", name, test.args, code, text)
			}
		}
		cmd := exec.CommandContext(t.Context(), program)
		cmd.Env, cmd.Dir = append(env, "MIXTRAL_LOG_LEVEL=warn"), dir
		s := startCommand(t, cmd)
		if code, body := s.post("/v1/completions", `{"prompt":"hi","max_tokens":2}`); code != 200 {
			t.Errorf("%s: %d %s", name, code, body)
		}
		if code := s.stop(os.Interrupt); code != exitOK {
			t.Errorf("%s: exit code %d", name, code)
		}
	}
	hostile.Survived(t, "no home directory, or a path that is not a directory", 2, 2,
		"commands that need no home directory work; the others say what is missing")
}

// TestFewFiles: a service that may open 64 files answers its clients and its health checks, whatever number of
// connections others hold, and writes its log.
func TestFewFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.db")
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `ulimit -n 64 && exec "$@"`, "sh", binary(t))
	s := startCommand(t, cmd, "--set", "database_url=sqlite:"+path)
	address := strings.TrimPrefix(s.url, "http://")
	for range 200 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	client := &http.Client{Timeout: llmtest.Limit, Transport: &http.Transport{DisableKeepAlives: true}}
	for range 5 {
		resp, err := client.Get(s.url + "/livez")
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%v %v; %s", resp, err, s.stderr)
		}
		resp.Body.Close()
		resp, err = client.Post(s.url+"/v1/completions", "application/json",
			strings.NewReader(`{"prompt":"hi","max_tokens":2}`))
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%v %v; %s", resp, err, s.stderr)
		}
		resp.Body.Close()
	}
	llmtest.Until(t, "all lines", func() bool { return s.written() == 5 })
	if code := s.stop(os.Interrupt); code != exitOK {
		t.Errorf("exit code %d: %s", code, s.stderr)
	}
	if n := loggedLines(t, path); n != 5 {
		t.Errorf("%d lines", n)
	}
	hostile.Survived(t, "64 open files, and 200 connections", 1, 1,
		"clients and health checks are answered, each line logged")
}

// TestTwoProcessesOnOneDatabase: two services write to one SQLite file while a third process lists the runs in it. No
// line is lost or stored twice.
func TestTwoProcessesOnOneDatabase(t *testing.T) {
	program, path := binary(t), filepath.Join(t.TempDir(), "both.db")
	a := startServe(t, "--set", "database_url=sqlite:"+path)
	b := startServe(t, "--set", "database_url=sqlite:"+path)
	t.Setenv("MIXTRAL_DATABASE_URL", "sqlite:"+path)
	const each = 60
	done := llmtest.Done(func() {
		for _, s := range []*servedProcess{a, b} {
			for range each {
				s.post("/v1/completions", `{"prompt":"hi","max_tokens":1}`)
			}
		}
	})
	for over := false; !over; {
		if r := command(t, program, "report", "list"); r.code != exitOK {
			t.Errorf("%v", r)
		}
		select {
		case <-done:
			over = true
		case <-time.After(20 * time.Millisecond):
		}
	}
	for _, s := range []*servedProcess{a, b} {
		llmtest.Until(t, "all lines", func() bool { return s.written() == each })
		if code := s.stop(syscall.SIGTERM); code != exitOK {
			t.Errorf("exit code %d: %s", code, s.stderr)
		}
		if strings.Contains(s.stderr.String(), "dropped") {
			t.Errorf("%s", s.stderr)
		}
	}
	if n := loggedLines(t, path); n != 2*each {
		t.Errorf("%d lines of %d requests", n, 2*each)
	}
	hostile.Survived(t, "two services and a reader on one SQLite file", 2, 2, "%d lines of %d requests, each once",
		2*each, 2*each)
}

// TestFilesAreCutUnderCommands truncates a model's file at random moments while commands read it: each ends with an
// error that says so, or had read enough.
func TestFilesAreCutUnderCommands(t *testing.T) {
	if testing.Short() {
		t.Skip("runs commands for some seconds")
	}
	rng, program, dir := killRand(t), binary(t), t.TempDir()
	source := filepath.Join(dir, "source.gguf")
	if r := command(t, program, words("model synth --out %s --dim 256 --ffn 1024 --layers 3 --heads 4 --type f16",
		source)...); r.code != exitOK {
		t.Fatal(r)
	}
	data, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	in, rounds := filepath.Join(dir, "in.gguf"), hostile.Kills(t, 4)
	for _, args := range [][]string{
		words("model pack %s %s/out --threads 2 --force", in, dir), words("model verify %s --threads 2", in),
		words("model quantize %s --type q4_0 --out %s/q --threads 2 --force", in, dir), words("model inspect %s", in),
		words("run --model %s --max-tokens 2 hi", in),
	} {
		var took time.Duration
		refused := 0
		for i := range rounds + 1 {
			if err := os.WriteFile(in, data, 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), program, args...)
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			began := time.Now()
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := llmtest.Done(func() { cmd.Wait() })
			if i > 0 { // the first one is not disturbed
				time.Sleep(time.Duration(rng.Int64N(int64(took))))
				if err := os.Truncate(in, rng.Int64N(int64(len(data)))); err != nil {
					t.Fatal(err)
				}
			}
			llmtest.Await(t, fmt.Sprint(args), ended)
			took = max(took, time.Since(began))
			code, text := cmd.ProcessState.ExitCode(), out.String()
			if code < 0 || strings.Contains(text, "goroutine ") || strings.Contains(text, "SIGBUS") ||
				i == 0 && code != exitOK || code != exitOK && !strings.Contains(text, "mixtral: ") {
				t.Errorf("%v: exit code %d: %.600s", args, code, text)
			}
			if code != exitOK {
				refused++
			}
		}
		hostile.Survived(t, "the file that `"+strings.Join(args[:2], " ")+"` reads, cut", rounds, refused,
			"an error that says so, or the command had read all that it needs")
	}
}
