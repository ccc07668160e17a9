// Package client asks a server for what is needed beside the load: its models, the number of tokens in a text, and one
// completion that proves that it answers.
//
// client.go has the questions, address.go reads the addresses that people write, and errors.go has the errors and what
// a user can do about each. Package loadgen makes the load itself with a client that measures; this client does not
// measure. Start reading at Client.Models.
package client
