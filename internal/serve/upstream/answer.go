package upstream

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// errForm says that an upstream's answer does not have the form of an answer to the request.
var errForm = errors.New("invalid answer")

const (
	typeEvents = "text/event-stream"
	typeJSON   = "application/json"
)

// checkHead says what is wrong with the status and the headers of an answer. It is called before any part of the
// answer is passed on.
func checkHead(resp *http.Response, p *prepared) error {
	s := resp.StatusCode
	switch {
	case s < 200 || s > 599, s == http.StatusNoContent && !p.other, s == http.StatusResetContent,
		s == http.StatusPartialContent, s >= 300 && s < 400, s != http.StatusOK && s < 300 && !p.other:
		return fmt.Errorf("%w: a response with the status %d has none", errForm, s)
	case s >= 400 || s == http.StatusNoContent:
		return nil // the body of an error is read, and replaced if it is not of OpenAI's form
	}
	if encoding := resp.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return fmt.Errorf("%w: it is compressed, which was not requested", errForm)
	}
	kind := mediaType(resp.Header)
	switch {
	case kind == "text/html" || kind == "application/xhtml+xml":
		return fmt.Errorf("%w: it is a web page", errForm)
	case kind == typeEvents && !p.stream && !p.other:
		return fmt.Errorf("%w: it is a stream, which was not requested", errForm)
	}
	return nil
}

// mediaType returns the media type of a body; empty if there is none, or none that can be parsed.
func mediaType(h http.Header) string {
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		return ""
	}
	return kind
}

// answerHeaders copies those headers of an answer that are passed on into h, each once and only with a valid value.
func answerHeaders(h, from http.Header, now time.Time) {
	for _, name := range responseHeaders {
		v := from.Get(name)
		switch name {
		case "Retry-After":
			v = ""
			if wait, ok := retryAfter(from, now); ok {
				v = strconv.Itoa(int(wait / time.Second))
			}
		case "Content-Type":
			if mediaType(from) == "" {
				v = "" // whoever writes the body sets it
			}
		}
		if v != "" && plain(v) {
			h.Set(name, v)
		}
	}
	h.Set("X-Content-Type-Options", "nosniff")
}

// plain says whether a header's value is a short line of ASCII.
func plain(v string) bool {
	const most = 256
	return len(v) <= most && !strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r > '~' })
}

// maxRetry bounds the wait that an upstream may ask of its clients.
const maxRetry = time.Hour

// retryAfter reads how long an upstream asks for no requests: as seconds or as a date. The result is at least a second
// and at most an hour.
func retryAfter(h http.Header, now time.Time) (wait time.Duration, ok bool) {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0, false
	}
	if strings.Trim(v, "0123456789") == "" {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n > int64(maxRetry/time.Second) { // digits only, but too many of them
			return maxRetry, true
		}
		wait = time.Duration(n) * time.Second
	} else if at, err := http.ParseTime(v); err == nil {
		wait = at.Sub(now).Round(time.Second)
	} else {
		return 0, false
	}
	return min(max(wait, time.Second), maxRetry), true
}

// check says what is wrong with a whole answer on a route whose form is known. c is what was read of the answer.
func (c *chunk) check(path string) error {
	switch {
	case c == nil:
		return fmt.Errorf("%w: it is not a JSON object", errForm)
	case path != "/v1/chat/completions" && path != "/v1/completions":
		return nil
	case len(c.Choices) == 0:
		return fmt.Errorf("%w: it has no list of choices", errForm)
	}
	for i, choice := range c.Choices {
		if choice.Message == nil && choice.Text == nil {
			return fmt.Errorf("%w: choices[%d] has neither a message nor a text", errForm, i)
		}
	}
	return nil
}

// beginsEvents says whether a text begins like a stream of events. sure is false while the text is too short to know.
func beginsEvents(text []byte) (events, sure bool) {
	line := strings.TrimLeft(strings.TrimPrefix(string(text[:min(len(text), 1<<10)]), "\ufeff"), "\r\n")
	if line == "" {
		return true, len(text) >= 1<<10
	}
	for _, field := range []string{":", "data", "event", "id", "retry"} {
		if strings.HasPrefix(line, field) {
			return true, true
		}
		if strings.HasPrefix(field, line) {
			return true, false
		}
	}
	return false, true
}
