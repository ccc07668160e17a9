package main

import "errors"

type runCmd struct{}

func (runCmd) Run(*app) error { return setupError(errors.New("run: not written yet")) }
