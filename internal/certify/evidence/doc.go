// Package evidence is the record of a certification run: one JSON object per line, gzipped, written while the run goes
// on. A verdict is a pure function of the record, so anyone can derive it again.
//
// evidence.go has the events, and times.go the definitions of a request's latency, its time to the first token and its
// time per output token. names.go has the names that events and their readers share; ended.go translates other
// servers' names of finish_reason. writer.go and reader.go write and read the file, and follow.go reads it while it is
// written. bounds.go limits the size of what they accept. Start reading at Event.
package evidence
