package evidence

import "io"

// Read reads a record into memory.
func Read(in io.Reader) (*Record, error) {
	r := &Record{}
	var err error
	r.Info, err = Scan(in, r.keep)
	if err != nil {
		return nil, err
	}
	return r, nil
}
