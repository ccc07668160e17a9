package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// echoServer answers with the last message; for "endless" the answer has no end. asked returns the bodies of the
// requests.
func echoServer(t *testing.T) (url string, asked func() []map[string]any) {
	t.Helper()
	var mu sync.Mutex
	var all []map[string]any
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/models", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"object":"list","data":[{"id":"echo","object":"model"}]}`)
	})
	mux.HandleFunc("/v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		var body map[string]any
		data, _ := io.ReadAll(r.Body)
		if json.Unmarshal(data, &body) != nil {
			http.Error(w, "no JSON", http.StatusBadRequest)
			return
		}
		mu.Lock()
		all = append(all, body)
		mu.Unlock()
		list := body["messages"].([]any)
		text := list[len(list)-1].(map[string]any)["content"].(string)
		w.Header().Set("Content-Type", "text/event-stream")
		say := func(text string) {
			quoted, _ := json.Marshal(text)
			fmt.Fprintf(w, `data: {"id":"1","object":"chat.completion.chunk","model":"echo","choices":[{"index":0,`+
				`"delta":{"content":%s}}]}`+"\n\n", quoted)
			w.(http.Flusher).Flush()
		}
		for i := 0; text == "endless" && r.Context().Err() == nil; i++ {
			say(fmt.Sprintf("word%d ", i))
			time.Sleep(5 * time.Millisecond)
		}
		say("echo(" + strings.ReplaceAll(text, "\n", "|") + ")")
		fmt.Fprint(w, `data: {"id":"1","object":"chat.completion.chunk","model":"echo","choices":[{"index":0,"delta":{},`+
			`"finish_reason":"stop"}]}`+"\n\ndata: [DONE]\n\n")
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL, func() []map[string]any {
		mu.Lock()
		defer mu.Unlock()
		return all
	}
}

// converse starts mixtral run on a terminal, with a model that an upstream serves.
func converse(t *testing.T, upstream string, args ...string) *session {
	t.Helper()
	cmd := exec.Command(binary(t), append([]string{"run", "--set", "backend=vllm", "--set", "upstream=" + upstream},
		args...)...)
	cmd.Env = append(os.Environ(), "TERM=xterm", "XDG_CACHE_HOME="+t.TempDir(), "XDG_DATA_HOME="+t.TempDir())
	return atTerminal(t, cmd)
}

// types presses keys, once mixtral run shows its prompt.
func (c *session) types(keys string) {
	c.t.Helper()
	c.sees(promptMark)
	c.press(keys)
}

const up, down, left, home, backspace, ctrlC, ctrlD = "\x1b[A", "\x1b[B", "\x1b[D", "\x1b[H", "\x7f", "\x03", "\x04"

// TestTalkOnATerminal holds a conversation on a pseudo-terminal, key by key.
func TestTalkOnATerminal(t *testing.T) {
	t.Parallel()
	url, asked := echoServer(t)
	c := converse(t, url)
	c.types("helo" + left + "l\r") // edited in the middle
	c.sees("echo(hello)")
	c.types("secomd" + backspace + backspace + "nd" + home + "my \r")
	c.sees("echo(my second)")
	c.types(up + up + "\r") // two lines back
	c.sees("echo(hello)")
	c.types(up + up + up + down + "!\r") // back and forth again
	c.sees("echo(my second!)")
	c.types("über\x7f\x7fß日本\r") // characters of several bytes are one key
	c.sees("echo(übß日本)")
	c.types("one \\\r") // two lines, and three in quotes
	c.sees(moreMark)
	c.press("line\r")
	c.sees("echo(one |line)")
	c.types("\"\"\"a\r")
	c.sees(moreMark)
	c.press("/b\r")
	c.sees(moreMark)
	c.press("c\"\"\"\r")
	c.sees("echo(a|/b|c)")
	c.types("\x1b[200~pasted\nin \x1b]0;owned\x07lines\x1b[201~ end\r") // several pasted lines are one message
	c.sees("echo(pasted|in ]0;ownedlines end)")
	c.types("/sy\tBe brief.\r/set temp\t0.5\r") // the Tab key completes
	c.types("/set max_t\t77\r")
	c.types("now\r")
	c.sees("echo(now)")
	// Ctrl-C stops an answer but not the program; what has come stays in the conversation
	c.types("endless\r")
	c.sees("word9 ")
	c.press(ctrlC)
	c.sees("(stopped)")
	c.types("after\r")
	c.sees("echo(after)")
	// at the prompt it drops what was typed; a second one would leave
	c.types("half a li" + ctrlC)
	c.sees("Ctrl-C again")
	c.types("whole\r")
	c.sees("echo(whole)")
	c.types("x" + ctrlD + backspace) // in a line Ctrl-D does not leave
	c.press(ctrlD)
	c.leaves(0)
	list := asked()
	last := list[len(list)-1]
	if last["temperature"] != 0.5 || last["max_tokens"] != 77.0 && last["max_completion_tokens"] != 77.0 {
		t.Errorf("the settings are not in %v", last)
	}
	text := fmt.Sprint(last["messages"])
	for _, want := range []string{"role:system", "Be brief.", "word9", "übß日本"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the last request: %s", want, text)
		}
	}
	if strings.Contains(text, "half a li") {
		t.Errorf("what Ctrl-C threw away was sent: %s", text)
	}
	if seen := c.text(); strings.Contains(seen, "\x1b]0;") ||
		!strings.HasSuffix(strings.TrimRight(seen, "\r\n"), "\x1b[?2004l") {
		t.Errorf("the terminal is left with %q", seen[max(0, len(seen)-60):])
	}
}

// TestTalkEnds: a conversation ends with Ctrl-C twice, with /exit and with SIGTERM; the terminal is then restored.
func TestTalkEnds(t *testing.T) {
	t.Parallel()
	url, _ := echoServer(t)
	for name, c := range map[string]struct {
		end  func(c *session)
		code int
	}{
		"twice": {func(c *session) { c.types(ctrlC); c.sees("Ctrl-C again"); c.types(ctrlC) }, exitInterrupted},
		"exit":  {func(c *session) { c.types("/exit\r") }, 0},
		"SIGTERM": {func(c *session) {
			c.sees(promptMark)
			_ = c.cmd.Process.Signal(syscall.SIGTERM)
		}, exitInterrupted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			talk := converse(t, url)
			talk.sees("/help shows")
			c.end(talk)
			talk.leaves(c.code)
			if after := talk.modes(); after != talk.before {
				t.Errorf("the terminal's modes are %+v, were %+v", after, talk.before)
			}
		})
	}
}

// TestPasteGuard: in any pieces, pasted text loses its control characters, and typed keys do not.
func TestPasteGuard(t *testing.T) {
	const keys = "a\x1b[Ab\x1b[200~x\x1b[2Jy\x00\x07\tz\r\n\x7f\x1b[201~\x03c\x1b[200~\x1b\x1b[201~d"
	const want = "a\x1b[Ab\x1b[200~x[2Jy\tz\r\n\x1b[201~\x03c\x1b[200~\x1b[201~d"
	for step := 1; step <= len(keys); step++ {
		var g pasteGuard
		var got []byte
		for rest := keys; rest != ""; rest = rest[min(step, len(rest)):] {
			got = append(got, g.clean([]byte(rest[:min(step, len(rest))]))...)
		}
		if string(got) != want {
			t.Errorf("in steps of %d: %q, want %q", step, got, want)
		}
	}
}

func TestCompleteLine(t *testing.T) {
	for line, want := range map[string]string{"/sy": "/system ", "/s": "/s", "/h": "/h", "/he": "/help ",
		"/set te":  "/set temperature ",
		"/set top": "/set top_", "/set": "/set ", "/nothing": "/nothing", "/x y": "/x y"} {
		if got, _, ok := completeLine(line, len(line), '\t'); !ok || got != want {
			t.Errorf("%q becomes %q, want %q", line, got, want)
		}
	}
	if _, _, ok := completeLine("text", 4, '\t'); ok {
		t.Error("text is completed")
	}
}
