// Package client sends the requests to a server that are not part of the load: for its models, for the number of
// tokens in a text, and for a completion that shows that it answers.
//
// client.go has the requests, address.go reads the addresses that people write, and errors.go has the errors and hints
// on what a user can do about them. Package loadgen sends the load itself, with a client that measures times. Start
// reading at Client.Models.
package client
