// Package storetest is the conformance suite of the store: what PostgreSQL and SQLite must both do. All of it is in
// storetest.go.
package storetest
