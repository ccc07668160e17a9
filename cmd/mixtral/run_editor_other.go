//go:build !linux && !darwin

package main

import (
	"errors"
	"os"
)

// keyByKey is not known here: the terminal's own editing has to do.
func keyByKey(*os.File) (restore func(), err error) { return nil, errors.ErrUnsupported }
