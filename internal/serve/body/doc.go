// Package body reads the fields of a request's JSON body one by one. An error names the field as its client calls it,
// and a field that no code has read is refused.
//
// object.go has the Object: start there.
package body
