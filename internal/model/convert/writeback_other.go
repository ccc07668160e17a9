//go:build !linux

package convert

import "os"

func writeBack(*os.File, int64, int64) {}
