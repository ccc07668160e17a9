// Command mixtral serves Mixtral behind an OpenAI-compatible API and certifies such services.
//
// It has the command line and connects packages; it makes no decisions itself. Start in main.go, which has the list of
// the commands; exit codes and their errors are in errors.go, and the ranges of numeric flags in range.go. Each
// command is in a file, or in files, with its name: serve.go, run.go, bench*.go, model*.go, eval.go, prompts.go,
// quality.go, case*.go, certify*.go, report*.go, console.go, plan*.go, generate.go, doctor.go, version.go, help.go.
//
// run_talk.go is the conversation of run, run_commands.go has the commands in it, and run_editor*.go edits its lines.
// bench_profile.go measures the costs that plan reads, and plan_from.go takes them from a run.
// generators_kubernetes.go prints the manifests of generators. The commands that store runs in a database share
// database.go, and those that sign reports share sign_key.go. suggest.go finds what a mistyped command or flag may
// mean, completion.go completes command lines in a shell, environment.go warns of variables that have no effect,
// listen.go has the flags of listeners, and terminal.go keeps control characters from terminals. The scripts in
// testdata/script run the program as a user does.
package main
