//go:build !linux && !darwin

package main

import (
	"errors"
	"os"
)

// keyByKey is not implemented here: the terminal's own editing has to be enough.
func keyByKey(*os.File) (restore func(), err error) { return nil, errors.ErrUnsupported }
