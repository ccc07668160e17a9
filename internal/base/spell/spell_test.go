package spell

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// TestNearest: one wrong letter in three is accepted, and no more.
func TestNearest(t *testing.T) {
	words := []string{"host", "port", "model_path", "temperature", "memory_limit_gb"}
	for word, want := range map[string]string{"prot": "port", "ports": "port", "modelpath": "model_path",
		"tempreature": "temperature", "memory_limit": "memory_limit_gb",
		"foo": "", "": "", "cpu_tier": "", "service_host": ""} {
		if got := Nearest(word, words); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}

// TestDistance: the distance is a metric on seeded random words, and a swap counts once.
func TestDistance(t *testing.T) {
	if d := Distance("pull", "plul"); d != 1 {
		t.Errorf("a swap counts %d", d)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	word := func() string {
		w := make([]byte, rng.IntN(9))
		for i := range w {
			w[i] = "abcde"[rng.IntN(5)]
		}
		return string(w)
	}
	for range 2000 {
		a, b := word(), word()
		d := Distance(a, b)
		if d != Distance(b, a) || (d == 0) != (a == b) || d > max(len(a), len(b)) ||
			d < max(len(a)-len(b), len(b)-len(a)) {
			t.Fatalf("distance of %q and %q: %d", a, b, d)
		}
		if got := Distance(a+"z", b+"z"); got > d {
			t.Fatalf("%q and %q: %d, with one letter more behind both %d", a, b, d, got)
		}
		if got := Distance(a, a+b); got != len(b) {
			t.Fatalf("%q and %q: %d, want %d", a, a+b, got, len(b))
		}
	}
}

// TestLongWords: a word that is longer than any name costs nothing.
func TestLongWords(t *testing.T) {
	long := strings.Repeat("port", 1<<18)
	if near := Nearest(long, []string{"port", long}); near != "" || Distance(long, "port") != len(long) {
		t.Errorf("%.20q…, %d", near, Distance(long, "port"))
	}
}
