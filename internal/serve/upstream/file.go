package upstream

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
	"github.com/hxp-enterprise/mixtral/internal/base/spell"
	"github.com/hxp-enterprise/mixtral/internal/serve/settings"
)

// ErrFile is matched by errors about a file of servers. The message shows each wrong line.
var ErrFile = errors.New("invalid file of upstream servers")

// maxFile is the maximum size of a file of servers in bytes: ten thousand servers need less.
const maxFile = 4 << 20

// entry is a server in a file.
type entry struct {
	URL     string   `yaml:"url"`
	Models  []string `yaml:"models"`
	Weight  float64  `yaml:"weight"`
	Share   float64  `yaml:"share_percent"`
	Drain   bool     `yaml:"drain"`
	KeyFile string   `yaml:"key_file"`
}

// anyModel in an entry's list of models stands for names that no server lists.
const anyModel = "*"

// ReadFile reads servers from a YAML file, and their API keys from the files that it names. Errors match ErrFile,
// except when a file cannot be read.
func ReadFile(path string) ([]Server, error) {
	data, err := readBounded(path)
	if err != nil {
		return nil, err
	}
	return parseFile(path, data, readBounded)
}

func readBounded(path string) ([]byte, error) {
	data, err := bounded.File(path, maxFile)
	if errors.Is(err, bounded.ErrTooLarge) {
		err = fmt.Errorf("%w: %w", ErrFile, err)
	}
	return data, err
}

// parseFile is ReadFile for content that was read already.
func parseFile(name string, data []byte, read func(path string) ([]byte, error)) ([]Server, error) {
	var f struct {
		Replicas []entry `yaml:"replicas"`
	}
	places, problems, err := settings.YAML(&f, name, data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	var lines []string
	for _, p := range problems {
		lines = append(lines, describe(p))
	}
	var list []Server
	for i, e := range f.Replicas {
		s, key, reason := e.server()
		if reason == "" && e.KeyFile != "" {
			content, err := read(e.KeyFile)
			if s.APIKey = strings.TrimSpace(string(content)); err != nil {
				key, reason = "key_file", err.Error()
			} else if s.APIKey == "" {
				key, reason = "key_file", e.KeyFile+" must hold an API key: it is empty"
			}
		}
		if reason != "" {
			key = fmt.Sprintf("replicas[%d].%s", i, key)
			lines = append(lines, fmt.Sprintf("%s: %s: %s", placeOf(places, key, name), key, reason))
		}
		list = append(list, s)
	}
	if len(lines) == 0 {
		if len(list) == 0 {
			lines = []string{name + ": replicas: must have at least one"}
		} else if err := CheckServers(list); err != nil {
			lines = []string{name + ": " + err.Error()}
		}
	}
	if len(lines) > 0 {
		slices.SortStableFunc(lines, func(a, b string) int { return cmp.Compare(lineOf(a), lineOf(b)) })
		if len(lines) > 1 {
			lines[0] = "\n  " + lines[0] // all of them below the header
		}
		return nil, fmt.Errorf("%w: %s", ErrFile, strings.Join(lines, "\n  "))
	}
	return list, nil
}

// lineOf returns the line number in "file.yaml:3: what is wrong", or 0 if there is none.
func lineOf(problem string) int {
	place, _, _ := strings.Cut(problem, ": ")
	n, _ := strconv.Atoi(place[strings.LastIndex(place, ":")+1:])
	return n
}

// placeOf returns the line of a key, or that of the whole file if the key is missing.
func placeOf(places settings.Places, key, name string) string {
	if at := places[key]; at != "" {
		return at
	}
	return name
}

// describe shows what is wrong with a line.
func describe(p settings.Problem) string {
	if p.Allowed != "" {
		return fmt.Sprintf("%s: %s: %s, got %s", p.Place, p.Key, p.Allowed, p.Value)
	}
	keys := settings.Keys(reflect.TypeFor[entry]())
	if !strings.Contains(p.Key, ".") {
		keys = []string{"replicas"}
	}
	text := fmt.Sprintf("%s: unknown key %q", p.Place, p.Key)
	if near := spell.Nearest(p.Key[strings.LastIndex(p.Key, ".")+1:], keys); near != "" {
		return text + fmt.Sprintf(" (did you mean %q?)", near)
	}
	return text + "; known keys: " + strings.Join(keys, ", ")
}

// server checks an entry. reason is empty if nothing is wrong; otherwise key is wrong.
func (e *entry) server() (s Server, key, reason string) {
	s = Server{URL: e.URL, Weight: e.Weight, Share: e.Share / 100, Drain: e.Drain}
	if _, err := parseURL(e.URL); err != nil {
		return s, "url", fmt.Sprintf("must be http://host:port or https://host, got %q", e.URL)
	}
	if e.Weight < 0 {
		return s, "weight", fmt.Sprintf("must be above 0, got %v", e.Weight)
	}
	if !(e.Share >= 0 && e.Share <= 100) {
		return s, "share_percent", fmt.Sprintf("must be between 0 and 100, got %v", e.Share)
	}
	for _, name := range e.Models {
		if name == anyModel {
			s.Any = true
			continue
		}
		ours, theirs, renamed := strings.Cut(name, "=")
		if !renamed {
			theirs = ours
		}
		if ours == "" || theirs == "" {
			return s, "models", fmt.Sprintf("must be names, or pairs ours=theirs, or *, got %q", name)
		}
		if s.Models == nil {
			s.Models = map[string]string{}
		}
		s.Models[ours] = theirs
	}
	return s, "", ""
}
