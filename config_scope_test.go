package mixtral

import "testing"

// TestPrefixCacheScope: where there are keys, they share nothing unless that is asked for. An upstream gets a salt
// only where one is asked for.
func TestPrefixCacheScope(t *testing.T) {
	for _, test := range []struct {
		scope, keys string
		backend     Backend
		want        bool
	}{
		{"auto", "", BackendEmbedded, false}, {"auto", "keys", BackendEmbedded, true},
		{"service", "keys", BackendEmbedded, false}, {"key", "keys", BackendEmbedded, true},
		{"auto", "keys", BackendVLLM, false}, {"key", "keys", BackendVLLM, true},
	} {
		c := DefaultConfig()
		c.PrefixCacheScope, c.APIKeyFile, c.Backend, c.Upstream = test.scope, test.keys, test.backend, "http://h"
		if test.backend == BackendEmbedded {
			c.Upstream = ""
		}
		o, err := c.options()
		if err != nil || o.ScopePerKey != test.want {
			t.Errorf("%+v: %v, %v", test, o.ScopePerKey, err)
		}
	}
}
