package settings

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/spell"
)

// Prefix begins the names of this program's environment variables.
const Prefix = "MIXTRAL_"

// Variables lists all environment variables that the program reads, without Prefix and in small letters: the keys of
// its configuration, whose type is config, and some that are not keys.
func Variables(config reflect.Type) []string {
	return append(Keys(config),
		"cpu_tier",        // package kernel
		"sign_passphrase", // certify --sign-key, report sign
	)
}

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

// variable is an environment variable whose name begins with the prefix.
type variable struct {
	name, value string
	key         string // the rest of the name, in small letters
}

// variables returns the variables that begin with the prefix, but none that is empty, which sets nothing, and none
// that Kubernetes sets.
func variables(environ []string, prefix string) (all []variable) {
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		rest, ours := strings.CutPrefix(name, prefix)
		if ours && value != "" && !fromKubernetes(name, value) {
			all = append(all, variable{name, value, strings.ToLower(rest)})
		}
	}
	return all
}

// Environ sets keys of the struct that to points to from environment variables, whose names are prefix and the key in
// capitals. An empty value sets nothing. Other programs' variables may begin with the prefix too, so an unknown key is
// not a problem; see Misspelt. places gets the variable's name for each key that is set.
func Environ(to any, prefix string, environ []string, places Places) (problems []Problem) {
	for _, v := range variables(environ, prefix) {
		if _, known := field(to, v.key); !known {
			continue
		}
		places[v.key] = v.name
		if p := Set(to, v.key, v.value); p != nil {
			p.Place = v.name
			problems = append(problems, *p)
		}
	}
	return problems
}

// Misspelt returns a warning for each environment variable that begins with the prefix, is none of the known ones, and
// looks like one of them: like its beginning, or with some wrong letters. known has names without the prefix.
func Misspelt(environ []string, prefix string, known []string) (warnings []string) {
	for _, v := range variables(environ, prefix) {
		if slices.Contains(known, v.key) {
			continue
		}
		likely := begunBy(v.key, known)
		if near := spell.Nearest(v.key, known); near != "" && len(likely) == 0 {
			likely = []string{near}
		}
		if len(likely) == 0 {
			continue
		}
		for i, name := range likely {
			likely[i] = prefix + strings.ToUpper(name)
		}
		warnings = append(warnings, fmt.Sprintf("the environment variable %s sets nothing: did you mean %s?", v.name,
			strings.Join(likely, " or ")))
	}
	return warnings
}

// begunBy returns the first names that begin with a word of two letters or more.
func begunBy(word string, names []string) (found []string) {
	const mostSuggestions = 3
	for _, name := range names {
		if len(word) > 1 && strings.HasPrefix(name, word) && len(found) < mostSuggestions {
			found = append(found, name)
		}
	}
	return found
}
