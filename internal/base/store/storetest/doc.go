// Package storetest is the conformance suite of the store: it tests what PostgreSQL and SQLite must both do. All of it
// is in storetest.go.
package storetest
