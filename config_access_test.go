package mixtral

import (
	"errors"
	"testing"
)

// TestConsole: the console is there by itself only where nobody else can come, and elsewhere only behind keys.
func TestConsole(t *testing.T) {
	for _, c := range []struct {
		console, host, keys string
		insecure, pages, ok bool
	}{
		{"auto", "127.0.0.1", "", false, true, true},
		{"auto", "::1", "keys", false, true, true},
		{"auto", "localhost", "", false, true, true},
		{"auto", "0.0.0.0", "keys", false, false, true},
		{"auto", "0.0.0.0", "", true, false, true},
		{"true", "127.0.0.1", "", false, true, true},
		{"true", "0.0.0.0", "keys", false, true, true},
		{"true", "0.0.0.0", "", true, true, false},
		{"false", "127.0.0.1", "", false, false, true},
		{"yes", "127.0.0.1", "", false, false, false},
		{"", "127.0.0.1", "", false, false, false},
	} {
		config := DefaultConfig()
		config.Console, config.Host, config.APIKeyFile, config.InsecureBind = c.console, c.host, c.keys, c.insecure
		o, err := config.options()
		if (err == nil) != c.ok || c.ok && (o.Pages != nil) != c.pages {
			t.Errorf("%+v: pages %t, error %v", c, o.Pages != nil, err)
		}
		var e *ConfigError
		if err != nil && (!errors.As(err, &e) || len(e.Problems) != 1 || e.Problems[0].Key != "console") {
			t.Errorf("%+v: %v does not name the key alone", c, err)
		}
	}
	for _, text := range []string{"console: true", "console: false", `console: "true"`, "console: auto"} {
		if c, err := ParseConfig("c.yaml", []byte(text), nil); err != nil || c.Validate() != nil {
			t.Errorf("%s: %v, %v", text, err, c.Validate())
		}
	}
}
