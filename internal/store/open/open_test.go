package open

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	for _, url := range []string{"", "sqlite:x.db", "sqlite:///var/x.db", "postgres://u:p@h:5432/d", "postgresql://h/d", "postgres:///d?host=/run"} {
		if err := Check(url); err != nil {
			t.Errorf("%q: %v", url, err)
		}
	}
	for _, url := range []string{"mysql://u:s3cret@h/d", "sqlite:", "sqlite://", "postgres:", "/x.db", "postgres://u:s3cret@h:port:1/d"} {
		err := Check(url)
		if !errors.Is(err, ErrURL) {
			t.Errorf("%q: %v", url, err)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: the error shows the password", url)
		}
	}
}

func TestTheDefaultIsAFile(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_DATA_HOME", dir)
	db, err := DB(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	if found, _ := filepath.Glob(filepath.Join(dir, "mixtral", "*.db")); len(found) != 1 {
		t.Errorf("files: %v", found)
	}
}
