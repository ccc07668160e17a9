// Package evidence is what a certification run records: one JSON object a line, gzipped, written as things happen. A
// verdict is a pure function of the record, so that anyone can derive it again.
//
// evidence.go has the events, with the definitions of a request's latency; names.go has the names that events and
// their readers agree on; writer.go and reader.go write and read the file, and follow.go reads it while it is written,
// all within the bounds of bounds.go. Start reading at Event.
package evidence
