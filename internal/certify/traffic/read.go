package traffic

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
	"github.com/hxp-enterprise/mixtral/internal/base/plainjson"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// ErrFormat matches every error about the content of a traffic file. The message names the record.
var ErrFormat = errors.New("invalid traffic file")

// Bounds of a traffic file.
const (
	maxLine    = 16 << 20
	maxText    = 4 << 20 // bytes of one turn
	maxRecords = 2_000_000
	maxTurns   = 1000
	maxTokens  = 1 << 20
)

// Record is one entry of a file: the user's turns of a conversation, or the lengths of a trace's request.
type Record struct {
	System string
	Turns  []string
	Output int // most tokens of the answer; 0 if the file does not say

	At     float64 // traces: seconds after the first
	Input  int     // traces: tokens of the prompt
	Blocks []int64 // mooncake: ids of blocks of 512 tokens, which requests share
}

// Read reads a file. column names the column of prompts in a CSV file; "" is "prompt". It reads at most most records;
// 0 means 2,000,000. Entries without a turn of the user, which published data sets contain, are skipped. Errors match
// ErrFormat.
func Read(format testcases.Format, column string, most int, data []byte) ([]Record, error) {
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("%w: not UTF-8", ErrFormat)
	}
	if most <= 0 || most > maxRecords {
		most = maxRecords
	}
	var out []Record
	var err error
	switch format {
	case testcases.FormatCSV, testcases.FormatBurstGPT, testcases.FormatAzure:
		out, err = readCSV(format, column, most, data)
	case testcases.FormatJSONL, testcases.FormatShareGPT, testcases.FormatOpenOrca, testcases.FormatGSM8K,
		testcases.FormatMooncake:
		out, err = readJSON(format, most, data)
	default:
		return nil, fmt.Errorf("%w: unknown format %q", ErrFormat, format)
	}
	if err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: no record with a prompt in it: format %s takes %s", ErrFormat, format,
			promptIn[format])
	}
	if format.Trace() {
		sortTrace(out)
	}
	return out, nil
}

// Bounds of one entry. They allow conversations of thousands of turns, but no deep nesting.
const (
	mostValues = 100_000
	mostDepth  = 32
)

// entry has the fields of all JSON formats.
type entry struct {
	Prompt       string    `json:"prompt"`
	Text         string    `json:"text"`
	Messages     []message `json:"messages"`
	MaxTokens    *float64  `json:"max_tokens"`
	Conversation []message `json:"conversations"`
	SystemPrompt string    `json:"system_prompt"`
	Question     string    `json:"question"`

	Timestamp *float64 `json:"timestamp"`
	Input     *float64 `json:"input_length"`
	Output    *float64 `json:"output_length"`
	HashIDs   []int64  `json:"hash_ids"`
}

type message struct {
	Role    string  `json:"role"`
	Content content `json:"content"`
	From    string  `json:"from"`
	Value   string  `json:"value"`
}

// readJSON reads one object per line, or one array of objects.
func readJSON(format testcases.Format, most int, data []byte) ([]Record, error) {
	var out []Record
	take := func(at string, raw []byte) error {
		var e entry
		if err := bounded.JSON(raw, mostValues, mostDepth); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrFormat, at, err)
		}
		if err := json.Unmarshal(raw, &e); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrFormat, at, plainjson.Error(err))
		}
		r, err := e.record(format)
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrFormat, at, err)
		}
		if len(r.Turns) > 0 || format.Trace() {
			out = append(out, r)
		}
		return nil
	}
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '[' {
		dec := json.NewDecoder(bytes.NewReader(trimmed))
		_, _ = dec.Token() // the bracket
		for n := 1; dec.More() && len(out) < most; n++ {
			var raw json.RawMessage
			if err := dec.Decode(&raw); err != nil {
				return nil, fmt.Errorf("%w: record %d: %w", ErrFormat, n, err)
			}
			if err := take("record "+strconv.Itoa(n), raw); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan() && len(out) < most; n++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		if err := take("line "+strconv.Itoa(n), line); err != nil {
			return nil, err
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%w: a line has more than %d bytes: %w", ErrFormat, maxLine, err)
	}
	return out, nil
}

// record converts an entry to a record.
func (e *entry) record(format testcases.Format) (r Record, err error) {
	if format == testcases.FormatMooncake {
		return e.mooncake()
	}
	if e.MaxTokens != nil {
		if r.Output, err = length("max_tokens", *e.MaxTokens); err != nil {
			return r, err
		}
	}
	switch format {
	case testcases.FormatOpenOrca:
		r.System, r.Turns = e.SystemPrompt, []string{e.Question}
	case testcases.FormatGSM8K:
		r.Turns = []string{e.Question}
	case testcases.FormatShareGPT:
		r.take(e.Conversation)
	default:
		r.take(e.Messages)
		if p := e.Prompt + e.Text; len(r.Turns) == 0 && p != "" {
			r.Turns = []string{p}
		}
	}
	r.Turns = slices.DeleteFunc(r.Turns, func(t string) bool { return strings.TrimSpace(t) == "" })
	if len(r.Turns) > maxTurns {
		return r, fmt.Errorf("%d turns, at most %d", len(r.Turns), maxTurns)
	}
	for _, t := range append(r.Turns[:len(r.Turns):len(r.Turns)], r.System) {
		if len(t) > maxText {
			return r, fmt.Errorf("a text of %d bytes, at most %d", len(t), maxText)
		}
	}
	return r, nil
}

// take keeps the user's messages of a conversation. The server under test will give its own answers.
func (r *Record) take(messages []message) {
	for _, m := range messages {
		switch strings.ToLower(m.Role + m.From) {
		case "user", "human":
			r.Turns = append(r.Turns, string(m.Content)+m.Value)
		case "system":
			if r.System == "" {
				r.System = string(m.Content) + m.Value
			}
		}
	}
}

// length checks a number of tokens.
func length(name string, v float64) (int, error) {
	if !(v >= 0 && v <= maxTokens) {
		return 0, fmt.Errorf("%s: must be between 0 and %d, is %g", name, maxTokens, v)
	}
	return int(v), nil
}

// readCSV reads a table whose first line names the columns.
func readCSV(format testcases.Format, column string, most int, data []byte) ([]Record, error) {
	table := csv.NewReader(bytes.NewReader(data))
	table.ReuseRecord, table.FieldsPerRecord = true, 0
	head, err := table.Read()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%w: it is empty; its first line must name the columns", ErrFormat)
		}
		return nil, fmt.Errorf("%w: the line with the names of the columns: %w", ErrFormat, err)
	}
	at := map[string]int{}
	for i, name := range head {
		at[strings.ToLower(strings.TrimSpace(strings.TrimPrefix(name, "\ufeff")))] = i
	}
	read, err := rowReader(format, column, at)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	var out []Record
	for len(out) < most {
		row, err := table.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrFormat, err)
		}
		line, _ := table.FieldPos(0)
		r, err := read(row)
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrFormat, line, err)
		}
		if len(r.Turns) > 0 || format.Trace() {
			out = append(out, r)
		}
	}
	return out, nil
}

// columns finds columns by their names in lower case.
func columns(at map[string]int, names ...string) ([]int, error) {
	out := make([]int, len(names))
	for i, name := range names {
		k, ok := at[name]
		if !ok {
			return nil, fmt.Errorf("the first line has no column %q; it has %s", name, strings.Join(slices.Sorted(
				maps.Keys(at)), ", "))
		}
		out[i] = k
	}
	return out, nil
}

// rowReader returns a function that converts a row to a record.
func rowReader(format testcases.Format, column string, at map[string]int) (func([]string) (Record, error), error) {
	if format.Trace() {
		return traceReader(format, at)
	}
	if column == "" {
		column = "prompt"
	}
	cols, err := columns(at, strings.ToLower(column))
	if err != nil {
		return nil, err
	}
	return func(row []string) (r Record, err error) {
		if len(row[cols[0]]) > maxText {
			return r, fmt.Errorf("a text of %d bytes, at most %d", len(row[cols[0]]), maxText)
		}
		if t := strings.Clone(row[cols[0]]); strings.TrimSpace(t) != "" {
			r.Turns = []string{t}
		}
		if k, ok := at["max_tokens"]; ok && strings.TrimSpace(row[k]) != "" {
			r.Output, err = whole("max_tokens", row[k])
		}
		return r, err
	}, nil
}

// whole reads a number of tokens.
func whole(name, s string) (int, error) {
	v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil {
		return 0, fmt.Errorf("%s: must be a number, got %q", name, s)
	}
	return length(name, v)
}
