package main

// Exit codes of every command; scripts depend on them.
const (
	exitOK          = 0
	exitFail        = 1 // a verdict of FAIL, or any other error
	exitUsage       = 2 // bad input or usage
	exitSetup       = 3 // something that the command needs could not be started or reached
	exitInvalid     = 4 // the run could not be judged
	exitInterrupted = 130
)

// exitError is an error with an exit code. Its message may be empty if the command has printed everything already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}
func (e *exitError) Unwrap() error { return e.err }

func usageError(err error) error { return &exitError{exitUsage, err} }
func setupError(err error) error { return &exitError{exitSetup, err} }

// exitWith returns an error that ends the command with code and prints nothing more.
func exitWith(code int) error { return &exitError{code, nil} }

// hintError adds a hint that says what to do about err.
type hintError struct {
	err  error
	hint string
}

func (e *hintError) Error() string { return e.err.Error() }
func (e *hintError) Unwrap() error { return e.err }

// withHint returns err with a hint; nil stays nil.
func withHint(err error, hint string) error {
	if err == nil {
		return nil
	}
	return &hintError{err, hint}
}
