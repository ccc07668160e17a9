package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral"
	keys "github.com/hxp-enterprise/mixtral/internal/serve/settings"
)

// TestEveryCommandWarns: a variable that looks misspelt is named once on standard error by every command, also by one
// that fails, that prints help or whose help is asked for. Otherwise a database or a passphrase is silently not used.
func TestEveryCommandWarns(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"version", "--json"}, {"--version"}, {"help", "version"}, {},
		{"report", "schema"}, {"case", "list"}, {"certify", "--check"}, {"nonsense"}, {"version", "--nonsense"},
		{"bench", "--prompt", "0"}, {"serve", "--set", "nonsense"}, {"serve", "--config", "no such file"}} {
		var out, errs bytes.Buffer
		run(&app{ctx: t.Context(), stdout: &out, stderr: &errs, getenv: func(string) string { return "" },
			environ: []string{"MIXTRAL_DATABSE_URL=x", "MIXTRAL_SIGN_PASSPHRASE=x", "MIXTRAL_PORT=1"}}, args)
		const want = "mixtral: warning: the environment variable MIXTRAL_DATABSE_URL sets nothing: did you mean " +
			"MIXTRAL_DATABASE_URL?\n"
		if strings.Count(errs.String(), want) != 1 || strings.Count(errs.String(), "warning") != 1 ||
			strings.Contains(out.String(), "DATABSE") {
			t.Errorf("mixtral %s: %q", strings.Join(args, " "), errs.String())
		}
	}
}

// TestEveryVariableIsKnown: each variable that the program's source names is in the list of known ones; another one
// would be called a misspelling of a key, or could be misspelt without a word.
func TestEveryVariableIsKnown(t *testing.T) {
	known := keys.Variables(reflect.TypeFor[mixtral.Config]())
	literal := regexp.MustCompile(`"MIXTRAL_([A-Z0-9_]+)=?\\?"`)
	root, found := filepath.Join("..", ".."), 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		switch filepath.ToSlash(inside) {
		case "test", "tools", "internal/base/property", "internal/base/hostile": // of tests
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		for _, m := range literal.FindAllSubmatch(text, -1) {
			found++
			if key := strings.ToLower(string(m[1])); !slices.Contains(known, key) {
				t.Errorf("%s reads MIXTRAL_%s, which is not in the list of known variables", path, m[1])
			}
		}
		return err
	})
	if err != nil || found < 5 {
		t.Errorf("%d names of variables in the source, %v", found, err)
	}
	for _, key := range []string{"cpu_tier", "sign_passphrase", "database_url", "monitoring_url"} {
		if !slices.Contains(known, key) {
			t.Errorf("%s is not known", key)
		}
	}
}
