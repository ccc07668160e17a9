package certify

import (
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/quality/dataset"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// TestACutAnswerSaysSo: the reason of a wrong answer says that max_tokens cut it, in whatever words the server does.
func TestACutAnswerSaysSo(t *testing.T) {
	task := &task{spec: &testcases.Task{Kind: testcases.TaskExactMatch},
		items: []dataset.Item{{ID: "q", Kind: dataset.Math, Prompt: "2 + 2?", Reference: "4"}}}
	for finish, want := range map[string]bool{evidence.EndLength: true, "max_tokens": true, "MAX_LENGTH": true,
		evidence.EndStop: false, "eos": false, "": false} {
		g := task.grade(&evidence.Request{Phase: "p", Text: "It is 3", Finish: finish})
		if g.Values[testcases.RuleExactMatch] != 0 || g.Why == "" {
			t.Fatalf("a wrong answer has the grade %+v", g)
		}
		if got := strings.HasSuffix(g.Why, "max_tokens cut the answer"); got != want {
			t.Errorf("finish_reason %q: %q", finish, g.Why)
		}
	}
}
