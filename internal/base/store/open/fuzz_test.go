package open

import (
	"errors"
	"strings"
	"testing"
)

// FuzzCheck: any URL is accepted, or refused with ErrURL, and neither the error nor the name shows its password.
func FuzzCheck(f *testing.F) {
	for _, s := range [][2]string{{"postgres", "h:5432/d"}, {"postgresql", "h/d?sslmode=disable"},
		{"postgres", "%zz"}, {"mysql", "h"}, {"postgres", "[::1"}, {"", ""}, {"postgres", "/d?host=/run"},
		{"postgres", "#"}, {"sqlite", "a/b"}, {"none", ""}} {
		f.Add(s[0], s[1])
	}
	f.Setenv("XDG_DATA_HOME", f.TempDir())
	const password = "s3cr3tpassw0rd"
	f.Fuzz(func(t *testing.T, scheme, rest string) {
		parameter := "?password="
		if strings.Contains(rest, "?") {
			parameter = "&password="
		}
		for _, raw := range []string{scheme, scheme + ":" + rest, scheme + "://u:" + password + "@" + rest, scheme +
			"://" + rest + parameter + password} {
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
