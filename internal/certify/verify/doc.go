// Package verify checks a report: whether it follows from its record, byte for byte, and whether its attestation is
// about these files and has the required signatures.
//
// All of it is in verify.go. Both the program and the web page call it. Start reading at Check.
package verify
