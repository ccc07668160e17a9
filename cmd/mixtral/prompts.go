package main

import "errors"

type promptsCmd struct{}

func (promptsCmd) Run(*app) error { return setupError(errors.New("prompts: not written yet")) }
