package main

import "errors"

type serveCmd struct{}

func (serveCmd) Run(*app) error { return setupError(errors.New("serve: not written yet")) }
