package main

import "errors"

type qualityCmd struct{}

func (qualityCmd) Run(*app) error { return setupError(errors.New("quality: not written yet")) }
