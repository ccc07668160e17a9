// Package noun writes a count with its noun in the singular or the plural.
//
// noun.go is all of it: Of writes the number too, For only the noun.
package noun
