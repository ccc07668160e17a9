package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hxp-enterprise/mixtral/certify"
)

// TestKeysOfOneFile: the server's key and the reviewer's may be in the same file.
func TestKeysOfOneFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var o certify.Options
	c := certifyCmd{Target: "http://127.0.0.1:1", APIKeyFile: file, ReviewerKeyFile: file}
	if err := c.source(&app{getenv: os.Getenv}, &o); err != nil || o.APIKey != "secret" || o.ReviewerKey != "secret" {
		t.Errorf("the server's key is %q, the reviewer's %q, %v", o.APIKey, o.ReviewerKey, err)
	}
}
