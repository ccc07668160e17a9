// Command tiers prints the kernel tiers that this machine can run, lowest first, one a line, for scripts that test
// each.
//
// main.go is all of it.
package main
