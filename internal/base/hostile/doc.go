// Package hostile makes files that readers must survive, for their tests: small files whose content could take much
// memory, and well-formed files with one wrong value.
//
// bombs.go has Texts, and Bombs, which measures what a reader allocates. mutate.go has JSON and Binary, which change a
// file in one place at a time. kills.go is for tests that kill the program under test. Start reading at Bombs.
package hostile
