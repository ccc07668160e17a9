// Package bounded limits input from outside: its bytes, and the memory that a parser needs for it, which may be a
// thousand times as much.
//
// bounded.go has File, EachLine, and YAML and JSON, which check a text before a parser reads it. text.go shortens
// texts and counts the values of JSON.
package bounded
