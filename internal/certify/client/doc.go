// Package client asks a server for what is needed beside the load: which models it serves, how many tokens a text
// has, one completion that proves that it answers.
//
// client.go has the questions, address.go reads the addresses that people write, errors.go has the errors and what a
// user can do about each. The load itself is made by package loadgen, whose client measures; this one does not.
// Start reading at Client.Models.
package client
