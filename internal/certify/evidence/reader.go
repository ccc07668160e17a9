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

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
)

// ErrFormat matches errors about a file that is not a record.
var ErrFormat = errors.New("not a record of events")

// Info describes a record.
type Info struct {
	Count  int    // number of events
	Lost   int    // lines that could not be read, including the last line of a cut file
	Cut    bool   // the file is incomplete: its run was killed, or it was damaged
	Ended  bool   // the run closed its record
	SHA256 string // SHA-256 of the uncompressed lines that were read, in hexadecimal
}

// Record is a whole record in memory. For records of large runs use Scan.
type Record struct {
	Info
	Events []Event
}

// openFile opens a record. If path does not exist but path.part does, because the run was killed, it opens that.
func openFile(path string) (*os.File, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) && !strings.HasSuffix(path, partSuffix) {
		if part, perr := os.Open(path + partSuffix); perr == nil {
			f, err = part, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	return f, nil
}

// ScanFile is Scan for a file, or for its .part if the run was killed.
func ScanFile(path string, each func(*Event) error) (Info, error) {
	f, err := openFile(path)
	if err != nil {
		return Info{}, err
	}
	defer f.Close()
	info, err := Scan(f, each)
	if err != nil {
		return info, fmt.Errorf("%s: %w", path, err)
	}
	return info, nil
}

// ReadFile reads a record into memory. Its errors are those of ScanFile.
func ReadFile(path string) (*Record, error) {
	r := &Record{}
	var err error
	r.Info, err = ScanFile(path, r.keep)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Record) keep(e *Event) error {
	r.Events = append(r.Events, *e)
	return nil
}

// Scan reads a record, compressed or not, and calls each for every event, whose pointers each may keep. An error of
// each ends the scan and is returned. An incomplete end is not an error; Info.Cut reports it. The error for a file
// whose first line is not a header matches ErrFormat, and that for a record beyond its bounds ErrTooLarge.
func Scan(r io.Reader, each func(*Event) error) (Info, error) {
	wire := &counted{Reader: r}
	in := bufio.NewReaderSize(wire, 64<<10)
	s := &scan{each: each, sum: sha256.New(), names: map[string]string{}}
	var lines io.Reader = in
	if magic, err := in.Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		gz, err := gzip.NewReader(in)
		if err != nil {
			return Info{}, fmt.Errorf("evidence: %w: %w", ErrFormat, err)
		}
		lines, s.wire = gz, wire
	}
	err := s.lines(bufio.NewReaderSize(lines, 64<<10))
	if err != nil {
		return s.info, err
	}
	switch {
	case s.info.Count == 0 && wire.n == 0:
		return s.info, errEmpty
	case s.info.Count == 0:
		return s.info, errNoHeader
	}
	s.info.SHA256 = hex.EncodeToString(s.sum.Sum(nil))
	return s.info, nil
}

var errEmpty = fmt.Errorf("evidence: %w: the file is empty: the run was killed in its first moment",
	ErrFormat)

var errNoHeader = fmt.Errorf("evidence: %w: the first line must be a header", ErrFormat)

// counted counts the bytes that are read from a file.
type counted struct {
	io.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// scan is the state while a record is read.
type scan struct {
	each  func(*Event) error
	info  Info
	sum   hash.Hash
	tally tally
	wire  *counted          // the compressed file; nil if it is not compressed
	names map[string]string // strings that occur often, to store each once
}

func (s *scan) lines(in *bufio.Reader) error {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > MaxLine {
			return fmt.Errorf("evidence: %w: %w: line %d is longer than %d bytes", ErrFormat, ErrTooLarge,
				s.info.Count+s.info.Lost+1, MaxLine)
		}
		switch {
		case err == nil:
			if err := s.line(line); err != nil {
				return err
			}
			line = line[:0]
		case errors.Is(err, bufio.ErrBufferFull):
		default: // the end, or an error
			if len(line) > 0 {
				s.info.Lost++
			}
			s.info.Cut = len(line) > 0 || !errors.Is(err, io.EOF)
			return nil
		}
	}
}

// line decodes one complete line. A line that is not an event is counted as lost.
func (s *scan) line(line []byte) error {
	s.sum.Write(line)
	if err := s.tally.line(len(line)); err != nil {
		return err
	}
	if s.wire != nil && s.tally.bytes > maxRatioFree+maxRatio*s.wire.n {
		return fmt.Errorf("evidence: %w: its lines are more than %d times as large as the compressed file",
			ErrTooLarge, maxRatio)
	}
	if n := bounded.Values(line); n > MaxItems {
		return fmt.Errorf("evidence: %w: line %d holds more than %d values", ErrTooLarge, s.info.Count+s.info.Lost+1,
			MaxItems)
	}
	var e Event
	if err := json.Unmarshal(bytes.TrimSpace(line), &e); err != nil || e.kinds() != 1 {
		if s.info.Lost++; s.info.Lost > mostLost {
			return fmt.Errorf("evidence: %w: %w: more than %d lines are not events", ErrFormat, ErrTooLarge, mostLost)
		}
		return nil
	}
	if err := s.tally.event(&e); err != nil {
		return err
	}
	if s.info.Count == 0 {
		if e.Header == nil {
			return errNoHeader
		}
		if v := e.Header.SchemaVersion; v < 1 || v > SchemaVersion {
			return fmt.Errorf("evidence: %w: schema_version %d, this program reads 1 to %d", ErrFormat, v,
				SchemaVersion)
		}
	}
	s.info.Count++
	s.info.Ended = e.End != nil
	s.share(&e)
	return s.each(&e)
}

// maxNames bounds the number of shared strings.
const maxNames = 4096

// share lets equal strings of requests and samples share their memory: ten million requests belong to only a few
// phases.
func (s *scan) share(e *Event) {
	switch {
	case e.Request != nil:
		q := e.Request
		q.Phase, q.Prompt, q.Finish, q.Detail = s.once(q.Phase), s.once(q.Prompt), s.once(q.Finish), s.once(q.Detail)
		q.Fail = Failure(s.once(string(q.Fail)))
	case e.Sample != nil:
		e.Sample.Source, e.Sample.Err = s.once(e.Sample.Source), s.once(e.Sample.Err)
	}
}

func (s *scan) once(name string) string {
	if name == "" {
		return ""
	}
	if known, ok := s.names[name]; ok {
		return known
	}
	if len(s.names) < maxNames && len(name) <= MaxDetail {
		s.names[name] = name
	}
	return name
}

// Digest returns the SHA-256 of the events' lines in hexadecimal, equal to Info.SHA256 of a file that holds them. Its
// errors are those of Encode.
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

// Decode reads one line of a record that does not come from a file, within the same bounds. Its errors match
// ErrTooLarge or ErrFormat.
func Decode(line []byte) (*Event, error) {
	if len(line) > MaxLine {
		return nil, fmt.Errorf("evidence: %w: a line of %d bytes", ErrTooLarge, len(line))
	}
	if n := bounded.Values(line); n > MaxItems {
		return nil, fmt.Errorf("evidence: %w: a line of %d values", ErrTooLarge, n)
	}
	var e Event
	if err := json.Unmarshal(bytes.TrimSpace(line), &e); err != nil || e.kinds() != 1 {
		return nil, fmt.Errorf("evidence: %w: a line is not an event", ErrFormat)
	}
	return &e, nil
}
