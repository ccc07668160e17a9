package settings

import (
	"errors"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type config struct {
	Name  string  `yaml:"name"`
	Count int     `yaml:"count"`
	Share float64 `yaml:"share"`
	On    bool    `yaml:"on"`
	Other func()  `yaml:"-"`
}

// TestYAML tests YAML's various notations, and the errors of each line.
func TestYAML(t *testing.T) {
	for _, test := range []struct {
		text     string
		want     config
		problems []Problem
	}{
		{"name: a\ncount: 3\nshare: 0.5\non: true\n", config{Name: "a", Count: 3, Share: 0.5, On: true}, nil},
		{"name: 7\nshare: 2\ncount: 0x10\n", config{Name: "7", Share: 2, Count: 16}, nil},
		{"name: \"a: b\"\ncount: null\n", config{Name: "a: b"}, nil},
		{"name: |\n  two\n  lines\n", config{Name: "two\nlines\n"}, nil},
		{"{name: a, count: 1}\n", config{Name: "a", Count: 1}, nil},
		{"count: &n 4\nshare: *n\n", config{Count: 4, Share: 4}, nil},
		{"<<: {count: 1, name: m}\ncount: 2\n", config{Name: "m", Count: 2}, nil},
		{"count: 2\ncount: 3\n", config{Count: 2},
			[]Problem{{"f:2", "count", "a second value", "must be given once"}}},
		{"on: 1\nname: [a]\nnew: 1\n", config{}, []Problem{{"f:1", "on", `"1"`, "must be true or false"},
			{"f:2", "name", "a list", "must be text"}, {"f:3", "new", "", ""}}},
		{"-: x\n", config{}, []Problem{{"f:1", "-", "", ""}}},
		{"a: &a [*a]\n<<: 7\n", config{}, []Problem{{"f:1", "a", "", ""},
			{"f:2", "<<", `"7"`, "must be a mapping"}}},
		{"count: *no\n", config{}, []Problem{{"f:1", "count", "an alias of nothing", "must be an integer"}}},
		{"# nothing\n---\n", config{}, nil},
	} {
		var c config
		_, problems, err := YAML(&c, "f", []byte(test.text))
		if diff := cmp.Diff(test.problems, problems); diff != "" || err != nil || !reflect.DeepEqual(c, test.want) {
			t.Errorf("%q: %+v, %v\n%s", test.text, c, err, diff)
		}
	}
	for _, text := range []string{"name: [1\n", "- a\n", "a: 1\n---\nb: 2\n", "7\n"} {
		if _, _, err := YAML(&config{}, "f", []byte(text)); !errors.Is(err, ErrSyntax) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestYAMLLists: each mapping of a list has its own keys, and errors name the place.
func TestYAMLLists(t *testing.T) {
	type entry struct {
		Name string   `yaml:"name"`
		Of   []string `yaml:"of"`
	}
	type lists struct {
		Entries []entry `yaml:"entries"`
	}
	for _, test := range []struct {
		text     string
		want     []entry
		problems []Problem
	}{
		{"entries:\n  - name: a\n    of: [x, 7]\n  - {name: b}\n", []entry{{"a", []string{"x", "7"}}, {Name: "b"}},
			nil},
		{"entries: []\n", nil, nil},
		{"entries: null\n", nil, nil},
		{"d: &d {name: m}\nentries:\n  - {<<: *d, of: [y]}\n", []entry{{"m", []string{"y"}}},
			[]Problem{{"f:1", "d", "", ""}}},
		{"entries: 7\n", nil, []Problem{{"f:1", "entries", `"7"`, "must be a list of mappings"}}},
		{"entries:\n  - 7\n  - name: a\n    name: b\n    new: 1\n  - of: {a: b}\n", []entry{{}, {Name: "a"}, {}},
			[]Problem{{"f:2", "entries[0]", `"7"`, "must be a mapping: KEY: VALUE on each line"},
				{"f:4", "entries[1].name", "a second value", "must be given once"}, {"f:5", "entries[1].new", "", ""},
				{"f:6", "entries[2].of", "a mapping", "must be a list of text"}}},
	} {
		var c lists
		_, problems, err := YAML(&c, "f", []byte(test.text))
		if diff := cmp.Diff(test.problems, problems) + cmp.Diff(test.want, c.Entries); diff != "" || err != nil {
			t.Errorf("%q: %v\n%s", test.text, err, diff)
		}
	}
}

func FuzzYAML(f *testing.F) {
	for _, seed := range []string{"name: a\ncount: 1.5\n", "a: &a [*a]\n", "<<: &m {<<: *m}\n", "? [a]\n: b\n",
		"count: !!int x",
		"&a *a: 1", "name: &x *x\n", "\x00", "--- |\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var c config
		if _, _, err := YAML(&c, "f", []byte(text)); err != nil && !errors.Is(err, ErrSyntax) {
			t.Error(err)
		}
	})
}

// TestKubernetesIsSilent: a variable that Kubernetes sets for a Service never counts as a misspelt key, however
// similar it is.
func TestKubernetesIsSilent(t *testing.T) {
	var c struct {
		Hosts string `yaml:"service_hosts"`
		Port  string `yaml:"port_80_tcps"`
		Ports string `yaml:"ports"`
	}
	known, places := Keys(reflect.TypeOf(c)), Places{}
	environ := []string{"X_SERVICE_HOST=10.0.0.1", "X_PORT_80_TCP=tcp://10.0.0.1:80", "X_PORT=tcp://10.0.0.1:80"}
	problems, warnings := Environ(&c, "X_", environ, places), Misspelt(environ, "X_", known)
	if len(problems) != 0 || len(warnings) != 0 || len(places) != 0 {
		t.Errorf("%v %q %v", problems, warnings, places)
	}
	if warnings := Misspelt([]string{"X_PORT=80"}, "X_", known); len(warnings) != 1 {
		t.Errorf("%q", warnings)
	}
}

// TestMisspelt: a variable that is the beginning of known names, or nearly one of them, gives a warning; one that sets
// something, that is empty, or that resembles nothing gives none.
func TestMisspelt(t *testing.T) {
	known := []string{"model_path", "model_id", "model_aliases", "model_size", "cpu_cores", "cpu_tier",
		"tls_cert_file"}
	for entry, want := range map[string]string{
		"X_MODEL=a":             "X_MODEL sets nothing: did you mean X_MODEL_PATH or X_MODEL_ID or X_MODEL_ALIASES?",
		"X_TLS_CERT=a":          "X_TLS_CERT sets nothing: did you mean X_TLS_CERT_FILE?",
		"X_CPU_TIERS=a":         "X_CPU_TIERS sets nothing: did you mean X_CPU_TIER?",
		"X_TLS_CRET_FILE=a":     "X_TLS_CRET_FILE sets nothing: did you mean X_TLS_CERT_FILE?",
		"X_CPU_TIER=a":          "",
		"X_MODEL=":              "",
		"X_M=a":                 "",
		"X_=a":                  "",
		"X_SOMETHING=a":         "",
		"Y_MODEL=a":             "",
		"X_MODEL_SERVICE_HOST=": "",
	} {
		got := Misspelt([]string{entry}, "X_", known)
		if want == "" && len(got) != 0 || want != "" && (len(got) != 1 || got[0] != "the environment variable "+want) {
			t.Errorf("%s: %q, want %q", entry, got, want)
		}
	}
}
