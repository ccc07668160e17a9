package convert

import (
	"encoding/json"
	"testing"
)

// TestNamedTemplates: of several chat templates, the default one and the one for tools are kept.
func TestNamedTemplates(t *testing.T) {
	for raw, want := range map[string][2]string{
		`"a"`: {"a", ""},
		`[{"name":"rag","template":"r"},{"name":"default","template":"d"},{"name":"tool_use","template":"t"}]`: {"d", "t"},
		`[{"name":"tool_use","template":"t"}]`: {"", "t"},
	} {
		var v vocabulary
		if err := v.template(t.TempDir(), json.RawMessage(raw)); err != nil || v.Template != want[0] ||
			v.ToolTemplate != want[1] {
			t.Errorf("%s: %q and %q, %v", raw, v.Template, v.ToolTemplate, err)
		}
	}
}
