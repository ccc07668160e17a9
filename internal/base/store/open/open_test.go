package open

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	for _, url := range []string{"", "sqlite:x.db", "sqlite:///var/x.db", "postgres://u:p@h:5432/d",
		"postgresql://h/d", "postgres:///d?host=/run"} {
		if err := Check(url); err != nil {
			t.Errorf("%q: %v", url, err)
		}
	}
	for _, url := range []string{"mysql://u:s3cret@h/d", "sqlite:", "sqlite://", "postgres:", "/x.db",
		"postgres://u:s3cret@h:port:1/d"} {
		err := Check(url)
		if !errors.Is(err, ErrURL) {
			t.Errorf("%q: %v", url, err)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: the error shows the password", url)
		}
	}
}

func TestNameShowsNoPassword(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", "/data")
	for raw, want := range map[string]string{
		"":                                   "/data/mixtral/mixtral.db",
		"sqlite:x.db":                        "x.db",
		"postgres://u:s3cret@h:5432/d":       "postgres://u:xxxxx@h:5432/d",
		"postgres://h/d?password=s3cret&x=y": "postgres://h/d",
		"mysql://u:s3cret@h/d":               "the database",
	} {
		if got := Name(raw); got != want {
			t.Errorf("%q: %q", raw, got)
		}
	}
}

func TestTheDefaultIsAFile(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_DATA_HOME", dir)
	if _, err := Existing(t.Context(), ""); !errors.Is(err, ErrNoFile) {
		t.Errorf("got %v", err)
	}
	db, err := DB(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	if db, err = Existing(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	db.Close()
	if info, err := os.Stat(filepath.Join(dir, "mixtral", "mixtral.db")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v: others may read it", info, err)
	}
	if found, _ := filepath.Glob(filepath.Join(dir, "mixtral", "*.db")); len(found) != 1 {
		t.Errorf("files: %v", found)
	}
}
