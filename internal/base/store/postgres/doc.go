// Package postgres opens a PostgreSQL database as a store, and writes the log of requests by COPY. All of it is in
// postgres.go.
package postgres
