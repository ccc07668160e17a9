package main

import "errors"

type benchCmd struct{}

func (benchCmd) Run(*app) error { return setupError(errors.New("bench: not written yet")) }
