// Package plainjson says in plain words why a text is not the JSON that it should be.
//
// error.go turns the errors of encoding/json into words: start reading there at Error. strict.go has Strict, which
// also refuses unknown keys.
package plainjson
