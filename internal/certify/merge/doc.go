// Package merge joins the records that generators keep for themselves with the record of their coordinator.
//
// merge.go is all of it. Start reading at Files.
package merge
