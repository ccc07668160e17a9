//go:build !amd64

package kernel

import "github.com/hxp-enterprise/mixtral/internal/infer/quant"

func hasSpreadKernels() bool { return false }

func spreadBlockFast(quant.Type, *spread, []byte) bool { return false }

func multiplySpread(*spreadProduct) { panic("kernel: hasSpreadKernels is false") }

func quadsOfRows(s *spread, codes *[panelRows]quant.Codes) { quadsOfRowsGeneric(s, codes) }
