package main

import "errors"

type doctorCmd struct{}

func (doctorCmd) Run(*app) error { return setupError(errors.New("doctor: not written yet")) }
