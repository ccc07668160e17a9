package host

import (
	"errors"
	"testing"
)

func TestDataDir(t *testing.T) {
	for _, c := range []struct {
		xdg, home, want string
	}{
		{"/data", "/home/a", "/data/mixtral"},
		{"", "/home/a", "/home/a/.local/share/mixtral"},
		{"relative", "/home/a", "/home/a/.local/share/mixtral"},
		{"", "", ""},
		{"", "relative", ""},
	} {
		got, err := DataDir(func(name string) string {
			return map[string]string{"XDG_DATA_HOME": c.xdg,
				"HOME": c.home}[name]
		})
		if got != c.want || (c.want == "") != errors.Is(err, ErrNoHome) {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}
}
