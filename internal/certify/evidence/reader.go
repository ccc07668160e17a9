package evidence

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strings"
)

// ErrFormat is matched by errors about a file that holds no record.
var ErrFormat = errors.New("not a record of events")

// Bounds against files that were made to exhaust the reader: a line holds at most one answer of some 10⁵ tokens and
// its gaps; a full run of 50 requests/s over ten minutes is below 100 MB.
const (
	maxLine  = 8 << 20
	maxTotal = 4 << 30
)

// Record is what was read.
type Record struct {
	Events []Event
	Lost   int    // lines that could not be read; the last one of a cut file among them
	Cut    bool   // the file breaks off: its run was killed, or it was damaged
	SHA256 string // of the uncompressed lines that were read
}

// Ended says whether the run closed its record.
func (r *Record) Ended() bool {
	return len(r.Events) > 0 && r.Events[len(r.Events)-1].End != nil
}

// ReadFile reads a record. Where path does not exist but path.part does, that is read: the run was killed.
func ReadFile(path string) (*Record, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) && !strings.HasSuffix(path, partSuffix) {
		if part, perr := os.Open(path + partSuffix); perr == nil {
			f, err = part, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	defer f.Close()
	r, err := Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// Read reads a record, compressed or not. A cut tail is tolerated and reported; a file whose first line is no header
// matches ErrFormat.
func Read(r io.Reader) (*Record, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	var lines io.Reader = in
	if magic, err := in.Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		gz, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("evidence: %w: %w", ErrFormat, err)
		}
		lines = gz
	}
	rec := &Record{}
	sum := sha256.New()
	if err := rec.readLines(bufio.NewReaderSize(io.LimitReader(lines, maxTotal), 64<<10), sum); err != nil {
		return nil, err
	}
	if len(rec.Events) == 0 || rec.Events[0].Header == nil {
		return nil, fmt.Errorf("evidence: %w: the first line must be a header", ErrFormat)
	}
	if v := rec.Events[0].Header.SchemaVersion; v < 1 || v > SchemaVersion {
		return nil, fmt.Errorf("evidence: %w: schema_version %d, this program reads 1 to %d", ErrFormat, v,
			SchemaVersion)
	}
	rec.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return rec, nil
}

func (rec *Record) readLines(in *bufio.Reader, sum hash.Hash) error {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxLine {
			return fmt.Errorf("evidence: %w: line %d is longer than %d bytes", ErrFormat, len(rec.Events)+rec.Lost+1,
				maxLine)
		}
		switch {
		case err == nil:
			sum.Write(line)
			rec.add(line)
			line = line[:0]
		case errors.Is(err, bufio.ErrBufferFull):
		default: // the end, or a break
			if len(line) > 0 {
				rec.Lost++
			}
			rec.Cut = len(line) > 0 || !errors.Is(err, io.EOF)
			return nil
		}
	}
}

func (rec *Record) add(line []byte) {
	var e Event
	if err := json.Unmarshal(bytes.TrimSpace(line), &e); err != nil || e.kinds() != 1 {
		rec.Lost++
		return
	}
	rec.Events = append(rec.Events, e)
}

// Digest gives the SHA-256 of the events' lines, as Read finds it in a file that holds them.
func Digest(events []Event) (string, error) {
	sum := sha256.New()
	for i := range events {
		line, err := Encode(&events[i])
		if err != nil {
			return "", err
		}
		sum.Write(line)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
