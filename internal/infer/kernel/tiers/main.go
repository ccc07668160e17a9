// Command tiers prints the kernel tiers that this machine can run, lowest first, one a line, for scripts that test
// each. It must not import anything but the kernels.
package main

import (
	"fmt"

	"github.com/hxp-enterprise/mixtral/internal/infer/kernel"
)

func main() {
	for _, t := range kernel.Tiers() {
		fmt.Println(t)
	}
}
