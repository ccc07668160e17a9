// Package verify checks a report: whether it follows from its record byte for byte, and whether its attestation is
// about these files and has the wanted signatures.
//
// verify.go is all of it; the program and the page for browsers both call it. Start reading at Check.
package verify
