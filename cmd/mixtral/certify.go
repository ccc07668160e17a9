package main

import "errors"

type certifyCmd struct{}

func (certifyCmd) Run(*app) error { return setupError(errors.New("certify: not written yet")) }
