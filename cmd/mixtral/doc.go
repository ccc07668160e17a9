// Command mixtral serves Mixtral behind an OpenAI-compatible API and certifies such services.
//
// It holds the command line and connects packages; it decides nothing itself. Start in main.go, which has the list of
// the commands, the exit codes' errors come from errors.go. Each command is a file of its name: serve.go, run.go,
// bench.go, eval.go, doctor.go, certify*.go, model_*.go, prompts.go, quality.go, report*.go. The commands that keep
// runs in a database share database.go; suggest.go finds what a mistyped command or flag may have meant, and
// completion.go completes command lines in a shell. run_talk.go is the conversation of run, run_editor*.go how its
// lines are edited. The scripts in testdata/script run the program as a user does.
package main
