package quality

import (
	"embed"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/hxp-enterprise/mixtral/certify/prompts"
)

// The labelled set has good and bad answers, written by hand, to the test case's prompts and to others. A file is a
// list of prompts:
//
//	@ category/level                   a prompt of TC-L1-COMP-MIXTRAL-003 if nothing else is said
//	prompt: the prompt's text          one line
//	rubric: {"form": …}                one line, optional, as in a prompt file
//	= good voice                       then the answer's lines, up to the next "=" or "@"
//	= bad fault
//
//go:embed labelled/*.txt
var labelledFiles embed.FS

// ErrLabelled matches every error about the content of a labelled file.
var ErrLabelled = errors.New("invalid labelled set")

// example is one labelled answer.
type example struct {
	label string // "good" or "bad"
	kind  string // voice of a good answer, fault of a bad one
	text  string
}

// topic is a prompt with its labelled answers.
type topic struct {
	prompt   prompts.Prompt
	examples []example
}

// heldOut reports whether the topic belongs to the half that was not used for fitting. The prompt's text decides, so
// that all answers to a prompt are in the same half.
func (t topic) heldOut() bool {
	h := fnv.New32a()
	h.Write([]byte(t.prompt.Text))
	return h.Sum32()&1 == 1
}

// input is the input for scoring an answer to the topic's prompt. The finish reason is always "stop", because the
// score must depend on the text alone.
func (t topic) input(text string) Input {
	return Input{Prompt: t.prompt.Text, Response: text, Finish: "stop", Rubric: t.prompt.Rubric}
}

// labelled reads the embedded set once.
var labelled = sync.OnceValue(func() []topic {
	names, err := fs.Glob(labelledFiles, "labelled/*.txt")
	if err != nil {
		panic("quality: " + err.Error()) // the pattern is a constant
	}
	var all []topic
	for _, name := range names {
		data, err := labelledFiles.ReadFile(name)
		if err != nil {
			panic("quality: " + err.Error()) // the file was just listed
		}
		topics, err := parseLabelled(string(data))
		if err != nil {
			panic("quality: " + name + ": " + err.Error()) // a test checks that every file can be read
		}
		for _, t := range topics { // a prompt may be in several files
			if i := slices.IndexFunc(all, func(o topic) bool { return o.prompt.Key() == t.prompt.Key() }); i >= 0 {
				all[i].examples = append(all[i].examples, t.examples...)
			} else {
				all = append(all, t)
			}
		}
	}
	return all
})

// parseLabelled reads one file of the labelled set.
func parseLabelled(data string) ([]topic, error) {
	var topics []topic
	var body []string
	flush := func() {
		if n := len(topics); n > 0 && len(topics[n-1].examples) > 0 {
			e := &topics[n-1].examples[len(topics[n-1].examples)-1]
			e.text = strings.Trim(strings.Join(body, "\n"), "\n")
		}
		body = nil
	}
	for i, line := range strings.Split(data, "\n") {
		fail := func(problem string) error { return fmt.Errorf("%w: line %d: %s", ErrLabelled, i+1, problem) }
		key, isTopic := strings.CutPrefix(line, "@ ")
		head, isExample := strings.CutPrefix(line, "= ")
		switch n := len(topics); {
		case isTopic:
			flush()
			category, level, ok := strings.Cut(key, "/")
			if !ok {
				return nil, fail("a prompt's key must be category/level")
			}
			p, known := prompts.Default().ByKey(key)
			if !known {
				p = prompts.Prompt{Category: category, Level: level}
			}
			topics = append(topics, topic{prompt: p})
		case n == 0:
			if strings.TrimSpace(line) != "" {
				return nil, fail("text before the first prompt")
			}
		case isExample:
			flush()
			label, kind, _ := strings.Cut(head, " ")
			if label != "good" && label != "bad" || kind == "" {
				return nil, fail("must be good or bad, and a kind")
			}
			if topics[n-1].prompt.Text == "" {
				return nil, fail("the prompt has no text")
			}
			topics[n-1].examples = append(topics[n-1].examples, example{label: label, kind: kind})
		case len(topics[n-1].examples) > 0:
			body = append(body, line)
		default:
			if err := topics[n-1].header(line); err != nil {
				return nil, fail(err.Error())
			}
		}
	}
	flush()
	return topics, nil
}

// header reads a line between a prompt's key and its first answer.
func (t *topic) header(line string) error {
	if text, ok := strings.CutPrefix(line, "prompt: "); ok {
		t.prompt.Text = text
		return nil
	}
	if text, ok := strings.CutPrefix(line, "rubric: "); ok {
		r, err := prompts.ParseRubric([]byte(text))
		t.prompt.Rubric = r
		return err
	}
	if strings.TrimSpace(line) != "" {
		return fmt.Errorf("%q is neither prompt nor rubric", line)
	}
	return nil
}
