// Package house has no code: its tests hold the rules of this repository that a test can hold.
//
// house_test.go has the ranks of packages, which say who may import whom: start there. rooms_test.go writes the tables
// of packages into docs/ARCHITECTURE.md. words_test.go and files_test.go read package comments, docs_test.go and
// markdown_test.go documents. chance_test.go, leak_test.go, skip_test.go and wall_test.go are about tests: which draw
// at random, leave goroutines behind, skip themselves, or read the wall clock.
package house
