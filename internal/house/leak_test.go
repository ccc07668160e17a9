package house_test

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// TestLeaksHaveTime: goroutines are looked for with package leak. goleak gives them less than half a second to end,
// which is too little on a busy machine.
func TestLeaksHaveTime(t *testing.T) {
	looks, mains := []string{"VerifyTestMain", "VerifyNone", "Find"}, 0
	walkGo(t, func(name string, set *token.FileSet, file *ast.File) {
		if strings.HasPrefix(name, "internal/base/leak/") {
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			switch x, _ := sel.X.(*ast.Ident); {
			case x == nil:
			case x.Name == "goleak" && slices.Contains(looks, sel.Sel.Name):
				t.Errorf("%s: use leak.Main or leak.Check", set.Position(sel.Pos()))
			case x.Name == "leak" && sel.Sel.Name == "Main":
				mains++
			}
			return true
		})
	})
	if mains < 10 {
		t.Errorf("only %d packages look for goroutines", mains)
	}
}
