package main

import "errors"

type evalCmd struct{}

func (evalCmd) Run(*app) error { return setupError(errors.New("eval: not written yet")) }
