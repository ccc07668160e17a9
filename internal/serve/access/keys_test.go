package access

import (
	"errors"
	"strings"
	"testing"
)

func TestParseKeys(t *testing.T) {
	// The hash of "bob-key-0123456789" by sha256sum.
	const bob = "bob sha256:f8596239fe2c5a7d74a70da44c981f5459c078c0060e69b541814edc07d50699"
	k, err := ParseKeys(strings.NewReader("# keys\n\n alice  alice-key-0123456789 \n" + bob + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	if name, _, ok := k.Find("alice-key-0123456789"); name != "alice" || !ok {
		t.Error(name, ok)
	}
	if name, _, ok := k.Find("bob-key-0123456789"); name != "bob" || !ok {
		t.Error(name, ok)
	}
	for _, wrong := range []string{"", "alice", "alice-key-012345678", bob} {
		if name, _, ok := k.Find(wrong); ok {
			t.Errorf("%q is %s's", wrong, name)
		}
	}
	for _, bad := range []string{"", "# only\n", "alice\n", "alice a b\n", "alice short\n",
		"a 0123456789abcdef\na 0123456789abcdef\n", "a sha256:12\n", "a sha256:" + strings.Repeat("zz", 32) + "\n"} {
		if _, err := ParseKeys(strings.NewReader(bad)); !errors.Is(err, ErrKeys) ||
			strings.Contains(err.Error(), "0123456789abcdef") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzParseKeys(f *testing.F) {
	for _, seed := range []string{"a 0123456789abcdef", "# x\n\na sha256:00", "a\tb\n", "\x00 \xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if k, err := ParseKeys(strings.NewReader(text)); (k == nil) != (err != nil) || err != nil &&
			!errors.Is(err, ErrKeys) {
			t.Errorf("%q: %v, %v", text, k, err)
		}
	})
}
