// Package sqlite opens an SQLite file as a store. All of it is in sqlite.go.
package sqlite
