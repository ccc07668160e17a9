// Package spell finds the word that a misspelt one most likely means.
//
// spell.go is all of it: Nearest, and the Distance between two words.
package spell
