// Package merge joins the records that generators keep on their own machines with the record of their coordinator.
//
// All of it is in merge.go. Start reading at Files.
package merge
