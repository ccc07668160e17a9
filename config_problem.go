package mixtral

import (
	"fmt"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/spell"
)

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	Key     string // as in YAML
	Value   string // as given; empty where Key is not known
	Allowed string // "must be between 0 and 65535"; empty where Key is not known
	Place   string // where it was set: "mixtral.yaml:3", "MIXTRAL_PORT", "--set", or empty
}

func (p Problem) String() string {
	text := fmt.Sprintf("%s: %s, got %s", p.Key, p.Allowed, p.Value)
	if p.Allowed == "" {
		text = fmt.Sprintf("unknown key %q", p.Key)
		if near := spell.Nearest(p.Key, configKeys()); near != "" {
			text += fmt.Sprintf(" (did you mean %q?)", near)
		}
	}
	if p.Place != "" {
		return p.Place + ": " + text
	}
	return text
}

// ConfigError lists all problems of a configuration. It matches ErrConfig.
type ConfigError struct {
	Problems []Problem
}

func (e *ConfigError) Error() string {
	lines := make([]string, len(e.Problems))
	unknown := false
	for i, p := range e.Problems {
		lines[i] = p.String()
		unknown = unknown || p.Allowed == ""
	}
	known := "known keys: " + strings.Join(configKeys(), ", ")
	if len(lines) == 1 {
		if unknown {
			lines[0] += "; " + known
		}
		return ErrConfig.Error() + ": " + lines[0]
	}
	if unknown {
		lines = append(lines, known)
	}
	return ErrConfig.Error() + ":\n  " + strings.Join(lines, "\n  ")
}

// Is makes every ConfigError an ErrConfig.
func (e *ConfigError) Is(target error) bool { return target == ErrConfig }
