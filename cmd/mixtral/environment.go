package main

import (
	"fmt"
	"reflect"

	"github.com/hxp-enterprise/mixtral"
	"github.com/hxp-enterprise/mixtral/internal/infer/kernel"
	keys "github.com/hxp-enterprise/mixtral/internal/serve/settings"
)

// checkEnvironment looks for variables that have no effect, or not the one that was wanted.
func (a *app) checkEnvironment() {
	if a.warned { // by the command whose help this is
		return
	}
	a.warned = true
	a.warnings = keys.Misspelt(a.environ, keys.Prefix, keys.Variables(reflect.TypeFor[mixtral.Config]()))
	if err := kernel.TierRefused(); err != nil {
		a.warnings = append(a.warnings, err.Error())
	}
}

// warn prints the warnings that were not said yet.
func (a *app) warn() {
	for _, w := range a.warnings {
		fmt.Fprintf(a.stderr, "mixtral: warning: %s\n", w)
	}
	a.warnings = nil
}
