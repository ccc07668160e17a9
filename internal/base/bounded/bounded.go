package bounded

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// ErrTooLarge is matched by errors about files that exceed their bounds.
var ErrTooLarge = errors.New("too large")

// File reads a file of at most so many bytes. It stops reading there, even at a device or a pipe without an end.
func File(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("%s: %w: has more than %d bytes", path, ErrTooLarge, most)
	}
	return data, nil
}

// EachLine calls f for every line of a text that is not blank, with its number from 1. A line may have at most
// mostBytes bytes; if one has more, or cannot be read, the error names it. An error of f ends the reading. line is
// valid until f returns.
func EachLine(r io.Reader, mostBytes int, f func(n int, line []byte) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, mostBytes)
	n := 0
	for lines.Scan() {
		n++
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		if err := f(n, lines.Bytes()); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("line %d: %w", n+1, err)
	}
	return nil
}

// Bounds of YAML. The parser's memory and time grow with the square of the depth and of the number of entries: 100,000
// nested lists, 200 KB, took 24 GB, and 100,000 numbers took a minute. At these bounds it takes seconds.
const (
	MostYAML    = 1 << 20 // bytes
	mostEntries = 20_000  // lines, list entries, keys, anchors and tags together
	mostDepth   = 100
	mostInALine = 100 // "- - - x" is three lists
)

// YAML says whether a text is within the bounds of an ordinary file.
func YAML(data []byte) error {
	if len(data) > MostYAML {
		return fmt.Errorf("%w: has more than %d bytes", ErrTooLarge, MostYAML)
	}
	entries, depth, deepest, n := 0, 0, 0, 0
	for line := range bytes.Lines(data) {
		n++
		entries++
		if started := begins(line); started > mostInALine {
			return fmt.Errorf("%w: line %d begins more than %d lists", ErrTooLarge, n, mostInALine)
		}
		for i, c := range line {
			switch c {
			case '[', '{':
				depth++
				deepest = max(deepest, depth)
				entries++
			case ']', '}':
				depth = max(depth-1, 0)
			case ',', '&', '*', '!', '?':
				entries++
			case ':':
				if i+1 < len(line) && line[i+1] == ' ' {
					entries++
				}
			}
		}
		if deepest > mostDepth {
			return fmt.Errorf("%w: line %d is more than %d lists and mappings deep", ErrTooLarge, n, mostDepth)
		}
		if entries > mostEntries {
			return fmt.Errorf("%w: has more than %d entries", ErrTooLarge, mostEntries)
		}
	}
	return nil
}

// begins counts the lists and keys that a line begins before any other content.
func begins(line []byte) (n int) {
	for len(line) > 0 {
		switch line[0] {
		case ' ', '\t':
		case '-', '?':
			if len(line) > 1 && line[1] != ' ' && line[1] != '\t' {
				return n
			}
			n++
		default:
			return n
		}
		line = line[1:]
	}
	return n
}

// JSON says whether a text has at most that depth and that many values: each value may become a struct of hundreds of
// bytes, however short it is. It does not check the syntax.
func JSON(data []byte, values, depth int) error {
	n, deep := 0, 0
	for c := range marks(data) {
		switch c {
		case '[', '{':
			n++
			deep++
		case ']', '}':
			deep--
		default:
			n++
		}
		if deep > depth {
			return fmt.Errorf("%w: is more than %d lists and objects deep", ErrTooLarge, depth)
		}
		if n > values {
			return fmt.Errorf("%w: has more than %d values", ErrTooLarge, values)
		}
	}
	return nil
}
