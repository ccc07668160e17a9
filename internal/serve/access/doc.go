// Package access decides who may reach the service and how much of it each may use: API keys and their quotas, the
// host names that requests may ask for, TLS certificates, and how many connections may be open.
//
//	callers.go      the keys in force: read from a file, read again when it changes; start reading here
//	keys.go         a key file's format, and how a request's key is found
//	quota.go        what each key has used of its limits, as a state machine, and the lock around it
//	hosts.go        the names that a Host header may hold
//	certificate.go  a certificate that is read again when its files change
//	connections.go  which connections stay open when there are too many, as a state machine
//	listener.go     a listener that keeps to it
//	readable.go     warns of files with secrets that others can read
//	watch.go        notices that files have changed
//
// Nothing here knows the API's routes or its error bodies: errors are ErrKeyMissing, ErrKeyUnknown, ErrHost and
// *QuotaError, and whoever answers requests gives them a status.
package access
