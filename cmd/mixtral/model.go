package main

import "errors"

type modelCmd struct{}

func (modelCmd) Run(*app) error { return setupError(errors.New("model: not written yet")) }
