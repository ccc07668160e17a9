// Package store keeps certification runs and the service's log of requests in a database.
//
// store.go opens and migrates a database: start there. It has one schema, in migrations, and one SQL text for
// PostgreSQL and SQLite. runs.go keeps runs, requests.go logged requests, and responses.go the answers that later
// requests continue. log.go writes requests in the background, from the bounded buffer in queue.go. The drivers are
// the packages below, and package open chooses one.
package store
