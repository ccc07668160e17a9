package main

import "errors"

type reportCmd struct{}

func (reportCmd) Run(*app) error { return setupError(errors.New("report: not written yet")) }
