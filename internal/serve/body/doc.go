// Package body reads the fields of a request's JSON body one by one, so that an error names the field as its client
// calls it, and so that a field that nobody has read is refused.
//
// object.go has the Object: start there.
package body
