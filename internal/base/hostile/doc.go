// Package hostile makes files that readers must survive, for their tests: small ones that could become large, and
// honest ones that are wrong in a way that their structure allows.
//
// bombs.go has Texts, and Bombs, which measures what a reader allocates. mutate.go has JSON and Binary, which change a
// file in one place at a time. kills.go is for tests that kill what they are about.
package hostile
