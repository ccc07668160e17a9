package settings

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/spell"
)

// kubernetes matches variables that Kubernetes sets in each pod for a Service: "…_SERVICE_HOST", "…_PORT_80_TCP_ADDR".
var kubernetes = regexp.MustCompile(`_SERVICE_(HOST|PORT)(_[A-Z0-9_]+)?$` +
	`|_PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$`)

// fromKubernetes recognises such variables. "…_PORT" alone is one if its value is an address with a protocol.
func fromKubernetes(name, value string) bool {
	for _, protocol := range []string{"tcp://", "udp://", "sctp://"} {
		if strings.HasSuffix(name, "_PORT") && strings.HasPrefix(value, protocol) {
			return true
		}
	}
	return kubernetes.MatchString(name)
}

// Environ sets keys of the struct that to points to from environment variables, whose names are prefix and the key in
// capitals. An empty value sets nothing. Other programs' variables may begin with the prefix too, so an unknown key is
// not a problem, but one that looks like a misspelt key gives a warning. places gets the variable's name for each key
// that is set.
func Environ(to any, prefix string, environ []string, places Places) (problems []Problem, warnings []string) {
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		rest, ours := strings.CutPrefix(name, prefix)
		if !ours || value == "" || fromKubernetes(name, value) {
			continue
		}
		key := strings.ToLower(rest)
		if _, known := field(to, key); !known {
			if near := spell.Nearest(key, Keys(reflect.TypeOf(to).Elem())); near != "" {
				warnings = append(warnings, fmt.Sprintf("the environment variable %s sets nothing: did you mean %s%s?",
					name, prefix, strings.ToUpper(near)))
			}
			continue
		}
		places[key] = name
		if p := Set(to, key, value); p != nil {
			p.Place = name
			problems = append(problems, *p)
		}
	}
	return problems, warnings
}
