package convert

import (
	"bytes"
	"testing"
)

// FuzzJournal: what is read of a record are whole lines of its plan; a record that is cut and read again says the
// same.
func FuzzJournal(f *testing.F) {
	f.Add([]byte("{\"plan\":\"p\"}\n{\"unit\":\"a\",\"sum\":7}\n{\"unit\":\"b\"}\n"))
	f.Add([]byte("{\"plan\":\"p\"}\n{\"unit\":\"a\",\"sum\":7"))
	f.Add([]byte("{\"plan\":\"other\"}\n{\"unit\":\"a\"}\n"))
	f.Add([]byte("{\"plan\":\"p\"}\n{\"unit\":\"\"}\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		finished, whole := readJournal(data, "p")
		if whole < 0 || whole > len(data) || whole > 0 && data[whole-1] != '\n' ||
			len(finished) > bytes.Count(data, []byte("\n")) {
			t.Fatalf("%q: %d bytes, %d units", data, whole, len(finished))
		}
		again, same := readJournal(data[:whole], "p")
		if same != whole || len(again) != len(finished) {
			t.Fatalf("%q: %d bytes of %d, %d units of %d", data, same, whole, len(again), len(finished))
		}
	})
}
