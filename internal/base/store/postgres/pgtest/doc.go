// Package pgtest runs a private PostgreSQL server for tests, on a Unix socket. It can be stopped and started again.
// All of it is in pgtest.go.
package pgtest
