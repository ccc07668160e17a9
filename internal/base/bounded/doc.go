// Package bounded keeps what comes from elsewhere within bounds: of its bytes, and of what a parser makes of it, which
// may be a thousand times as much.
//
// bounded.go has File, EachLine, and YAML and JSON, which look at a text before a parser does. text.go shortens texts
// and counts the values of JSON.
package bounded
