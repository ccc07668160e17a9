package dataset

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
)

// ErrInvalid matches every error about a data set's content.
var ErrInvalid = errors.New("invalid data set")

// Kind names the way in which an item's response is graded.
type Kind string

// The kinds of items.
const (
	Math Kind = "math" // GSM8K: the final number must equal the reference
	Code Kind = "code" // MBPP, HumanEval: the response must define the entry point; the tests are not run
	Chat Kind = "chat" // OpenOrca, ShareGPT: ROUGE measures the overlap with the reference
)

// Item is one question with its reference answer.
type Item struct {
	ID        string   `json:"id"`
	Kind      Kind     `json:"kind"`
	System    string   `json:"system,omitempty"`
	Prompt    string   `json:"prompt"`
	Reference string   `json:"reference"`
	Entry     string   `json:"entry,omitempty"` // the function that the response must define
	Tests     []string `json:"tests,omitempty"`
}

// maxLine limits a line, in bytes. The longest conversations of ShareGPT have about 1 MB.
const maxLine = 16 << 20

// Limits of a decoded data set. OpenOrca, the largest, has four million rows: its users take a sample.
const (
	maxItems  = 1_000_000
	maxValues = 100_000 // in a line
	maxDepth  = 32
)

// Read reads JSON Lines and skips blank lines. An item without an ID gets its line number. Errors match ErrInvalid;
// those about a line name it.
func Read(r io.Reader) ([]Item, error) {
	var items []Item
	err := bounded.EachLine(r, maxLine, func(n int, line []byte) error {
		if len(items) >= maxItems {
			return fmt.Errorf("has more than %d items: make a sample of it", maxItems)
		}
		if err := bounded.JSON(line, maxValues, maxDepth); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		item, err := parse(line)
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if item.ID == "" {
			item.ID = strconv.Itoa(n)
		}
		items = append(items, item)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if len(items) == 0 {
		return nil, fmt.Errorf("%w: holds no item", ErrInvalid)
	}
	return items, nil
}

// row has the keys of all shapes of data sets.
type row struct {
	ID            any      `json:"id"`
	TaskID        any      `json:"task_id"`
	Question      string   `json:"question"`
	Answer        string   `json:"answer"`
	SystemPrompt  string   `json:"system_prompt"`
	Response      string   `json:"response"`
	Prompt        string   `json:"prompt"`
	Text          string   `json:"text"`
	Code          string   `json:"code"`
	TestList      []string `json:"test_list"`
	Test          string   `json:"test"`
	EntryPoint    string   `json:"entry_point"`
	Canonical     string   `json:"canonical_solution"`
	Conversations []struct {
		From  string `json:"from"`
		Value string `json:"value"`
	} `json:"conversations"`
}

// parse reads a line; the keys tell which shape it has.
func parse(line []byte) (Item, error) {
	var r row
	if err := json.Unmarshal(line, &r); err != nil {
		return Item{}, err
	}
	id := text(r.TaskID)
	if id == "" {
		id = text(r.ID)
	}
	item := Item{ID: id}
	switch {
	case len(r.Conversations) > 0:
		item.Kind = Chat
		for _, c := range r.Conversations {
			switch {
			case c.From == "system" && item.Prompt == "":
				item.System = c.Value
			case (c.From == "human" || c.From == "user") && item.Prompt == "":
				item.Prompt = c.Value
			case (c.From == "gpt" || c.From == "assistant" || c.From == "chatgpt") && item.Prompt != "" &&
				item.Reference == "":
				item.Reference = c.Value
			}
		}
		if item.Prompt == "" || item.Reference == "" {
			return item, errors.New("conversations: needs a turn from human and one from gpt after it")
		}
	case r.EntryPoint != "" || len(r.TestList) > 0:
		item.Kind, item.Entry, item.Tests = Code, r.EntryPoint, r.TestList
		item.Prompt, item.Reference = first(r.Prompt, r.Text), first(r.Canonical, r.Code)
		if r.Test != "" {
			item.Tests = []string{r.Test}
		}
		if item.Entry == "" {
			item.Entry = entryOf(r.Code, item.Tests)
		}
		if item.Prompt == "" {
			return item, errors.New("prompt: is empty")
		}
	case r.Question != "" && r.Response != "":
		item.Kind, item.System, item.Prompt, item.Reference = Chat, r.SystemPrompt, r.Question, r.Response
	case r.Question != "" && strings.Contains(r.Answer, "####"):
		item.Kind, item.Prompt = Math, r.Question
		_, final, _ := cutLast(r.Answer, "####")
		item.Reference = strings.ReplaceAll(strings.TrimSpace(final), ",", "")
		if _, err := strconv.ParseFloat(item.Reference, 64); err != nil {
			return item, fmt.Errorf("answer: the text after #### must be a number, got %q", item.Reference)
		}
	default:
		return item, errors.New("has none of the known shapes: question and answer with ####, question and " +
			"response, prompt and entry_point, text and test_list, conversations")
	}
	return item, nil
}

// text returns an identifier, which may be a number or a string, as a string.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return ""
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return "", s, false
}

var (
	defines = regexp.MustCompile(`(?m)^\s*(?:async\s+)?(?:def|func|function|fn)\s+(\w+)`)
	asserts = regexp.MustCompile(`assert\s+\(?(\w+)\s*\(`)
	number  = regexp.MustCompile(`-?[\d,]*\.?\d+`)
)

// entryOf finds the function that MBPP's tests call: the last one that the reference defines or, without one, the
// first that a test names.
func entryOf(code string, tests []string) string {
	if m := defines.FindAllStringSubmatch(code, -1); len(m) > 0 {
		return m[len(m)-1][1]
	}
	for _, t := range tests {
		if m := asserts.FindStringSubmatch(t); m != nil {
			return m[1]
		}
	}
	return ""
}

// finalNumber finds a response's answer as MLPerf does for GSM8K: the first number after the last "The answer is" or,
// without one, the last number. It ignores what follows a new "Q:".
func finalNumber(response string) (float64, bool) {
	response, _, _ = strings.Cut(response, "\nQ:")
	found := ""
	if _, after, ok := cutLast(response, "The answer is"); ok {
		found = number.FindString(after)
	}
	if found == "" {
		all := number.FindAllString(response, -1)
		if len(all) == 0 {
			return 0, false
		}
		found = all[len(all)-1]
	}
	v, err := strconv.ParseFloat(strings.ReplaceAll(found, ",", ""), 64)
	return v, err == nil
}

// Correct says whether a response to a Math item has the right final number.
func (it Item) Correct(response string) bool {
	want, err := strconv.ParseFloat(it.Reference, 64)
	got, ok := finalNumber(response)
	return err == nil && ok && got == want
}

// Defines says whether a response to a Code item defines the function Entry.
func (it Item) Defines(response string) bool {
	for _, m := range defines.FindAllStringSubmatch(response, -1) {
		if m[1] == it.Entry && it.Entry != "" {
			return true
		}
	}
	return false
}

// The reference accuracies of MLPerf's Mixtral-8x7B task, in percent. A run must reach 99 % of each.
const (
	MLPerfRouge1 = 45.60
	MLPerfRouge2 = 23.35
	MLPerfRougeL = 30.46
	MLPerfGSM8K  = 73.66
)

// Result is the outcome for a data set. Math, Chat, Code and Missing count items; the other fields are in percent, as
// MLPerf prints them.
type Result struct {
	Math       int     `json:"math"`
	ExactMatch float64 `json:"exact_match"` // share of the Math items with the right final number
	Chat       int     `json:"chat"`
	Rouge1     float64 `json:"rouge1"` // mean F score of the Chat items; the same for the next two
	Rouge2     float64 `json:"rouge2"`
	RougeL     float64 `json:"rougeL"`
	Code       int     `json:"code"`
	// share of the Code items whose response defines the function, which is not run
	Defined float64 `json:"defined"`
	Missing int     `json:"missing"` // items without a response, which count as wrong
}

// Evaluate compares the responses, whose keys are item IDs, with the references.
func Evaluate(items []Item, responses map[string]string) Result {
	var r Result
	for _, it := range items {
		response, ok := responses[it.ID]
		if !ok {
			r.Missing++
		}
		switch it.Kind {
		case Math:
			r.Math++
			if it.Correct(response) {
				r.ExactMatch++
			}
		case Code:
			r.Code++
			if it.Defines(response) {
				r.Defined++
			}
		case Chat:
			r.Chat++
			score := ScoreRouge(it.Reference, response)
			r.Rouge1 += score.One.F
			r.Rouge2 += score.Two.F
			r.RougeL += score.L.F
		}
	}
	r.ExactMatch = percent(r.ExactMatch, r.Math)
	r.Defined = percent(r.Defined, r.Code)
	r.Rouge1, r.Rouge2, r.RougeL = percent(r.Rouge1, r.Chat), percent(r.Rouge2, r.Chat), percent(r.RougeL, r.Chat)
	return r
}

func percent(sum float64, of int) float64 { return 100 * sum / float64(max(of, 1)) }
