package convert

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// journal is the record of a conversion under way, beside the partial file: a line that says which conversion, then a
// line for each finished unit, with a checksum of what the partial file must hold for it. A killed run may have cut
// its last line short; that unit is made again.
type journal struct {
	file *os.File
}

// done is a finished unit: a tensor, or an expert's part of one.
type done struct {
	Unit string `json:"unit"`
	Sum  uint32 `json:"sum"` // of its bytes, to notice damage before going on
	Errors
}

type journalHead struct {
	Plan string `json:"plan"`
}

// openJournal opens the record at path. It gives the finished units of the same plan, none for another's.
func openJournal(path, plan string) (j *journal, finished map[string]done, err error) {
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%w: %w", ErrOutput, err)
	}
	finished, whole := readJournal(data, plan)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrOutput, err)
	}
	j = &journal{f}
	if err := f.Truncate(int64(whole)); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%w: %w", ErrOutput, err), f.Close())
	}
	if _, err := f.Seek(int64(whole), 0); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%w: %w", ErrOutput, err), f.Close())
	}
	if whole == 0 {
		if err := j.write(journalHead{plan}); err != nil {
			return nil, nil, errors.Join(err, f.Close())
		}
	}
	return j, finished, nil
}

// readJournal gives the units that data records, and how many of its bytes are whole lines of this plan.
func readJournal(data []byte, plan string) (finished map[string]done, whole int) {
	finished = map[string]done{}
	s := bufio.NewScanner(bytes.NewReader(data))
	for first := true; s.Scan(); first = false {
		next := whole + len(s.Bytes()) + 1
		if next > len(data) { // no newline: cut short
			return finished, whole
		}
		if first {
			var head journalHead
			if json.Unmarshal(s.Bytes(), &head) != nil || head.Plan != plan {
				return finished, 0
			}
		} else {
			var d done
			if json.Unmarshal(s.Bytes(), &d) != nil || d.Unit == "" {
				return finished, whole
			}
			finished[d.Unit] = d
		}
		whole = next
	}
	return finished, whole
}

func (j *journal) write(line any) error {
	data, err := json.Marshal(line)
	if err == nil {
		_, err = j.file.Write(append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrOutput, err)
	}
	return nil
}

func (j *journal) close() error { return j.file.Close() }
