package open

import (
	"errors"
	"strings"
	"testing"
)

// FuzzCheck: any URL is taken or refused with ErrURL, and neither the error nor the name shows its password.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{"", "none", "sqlite:x.db", "sqlite:///a/b", "sqlite:", "postgres://u@h:5432/d", "postgresql://h/d?sslmode=disable", "postgres://%zz", "mysql://h", "postgres://[::1", "://", "postgres:///d?host=/run&password=x"} {
		f.Add(s)
	}
	f.Setenv("XDG_DATA_HOME", f.TempDir())
	const password = "s3cr3tpassw0rd"
	f.Fuzz(func(t *testing.T, url string) {
		parameter := "?password="
		if strings.Contains(url, "?") {
			parameter = "&password="
		}
		for _, raw := range []string{url, strings.Replace(url, "@", ":"+password+"@", 1), url + parameter + password} {
			err := Check(raw)
			if err != nil && !errors.Is(err, ErrURL) {
				t.Errorf("%q: %v", raw, err)
			}
			if strings.HasPrefix(raw, "sqlite") {
				continue // a path has no password
			}
			if err != nil && strings.Contains(err.Error(), password) || strings.Contains(Name(raw), password) {
				t.Errorf("%q: shows the password: %v, %s", raw, err, Name(raw))
			}
		}
	})
}
