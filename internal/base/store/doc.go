// Package store keeps certification runs and the service's log of requests in a database.
//
// store.go opens and migrates a database: start there. There is one schema, in migrations, and one SQL text for
// PostgreSQL and SQLite. runs.go stores runs, requests.go logged requests, and responses.go answers that later
// requests continue. log.go writes requests in the background, from the bounded buffer in queue.go. The drivers are
// the packages below, and package open chooses one.
package store
