package need

import (
	"os"
	"testing"
)

// Missing ends a test whose machine lacks something: it is skipped, or fails if the environment variable CI is set.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf(format+"; under CI nothing may be missing", args...)
	}
	t.Skipf(format, args...)
}
