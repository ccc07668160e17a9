package judge

import (
	"os"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/testcases"
)

// docs/VERDICT.md has a line for every rule.
func TestEveryRuleIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../../docs/VERDICT.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range testcases.Rules() {
		if !strings.Contains(string(doc), "`"+string(rule.Rule)+"`") {
			t.Errorf("docs/VERDICT.md says nothing of %q", rule.Rule)
		}
	}
}
