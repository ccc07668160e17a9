// Package bounded reads files from elsewhere within bounds: of their bytes, and of what a parser makes of them, which
// may be a thousand times as much.
//
// bounded.go has File, and YAML and JSON, which look at a text before a parser does.
package bounded
