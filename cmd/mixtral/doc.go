// Command mixtral serves Mixtral behind an OpenAI-compatible API and certifies such services.
//
// It has the command line and connects packages; it makes no decisions itself. Start in main.go, which has the list of
// the commands; exit codes and their errors are in errors.go, and the ranges of numeric flags in range.go. Each
// command is a file with its name: serve.go, run.go, bench.go, eval.go, doctor.go, certify*.go, model_*.go,
// prompts.go, quality.go, report*.go. The commands that store runs in a database share database.go; suggest.go finds
// what a mistyped command or flag may mean, and completion.go completes command lines in a shell. run_talk.go is the
// conversation of run, and run_editor*.go edits its lines. The scripts in testdata/script run the program as a user
// does.
package main
