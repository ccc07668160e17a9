package catalog

import (
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
	"github.com/hxp-enterprise/mixtral/models/demo"
)

// openDemo opens the built-in model; in a build without its file, seeded random weights that answer nonsense at speed.
func openDemo() (*Opened, error) {
	if data, ok := demo.Model(); ok {
		return fromMemory("mixtral-demo", data)
	}
	data, err := synth.Bytes(synth.Tiny())
	if err != nil {
		return nil, err
	}
	return fromMemory("mixtral-synthetic", data)
}
