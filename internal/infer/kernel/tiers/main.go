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
