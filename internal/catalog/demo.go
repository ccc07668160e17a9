package catalog

import "github.com/hxp-enterprise/mixtral/internal/synth"

// openDemo opens the built-in model: seeded random weights, until a trained one is part of the program. It answers
// nonsense, at speed.
func openDemo() (*Opened, error) {
	data, err := synth.Bytes(synth.Tiny())
	if err != nil {
		return nil, err
	}
	return fromMemory("mixtral-synthetic", data)
}
