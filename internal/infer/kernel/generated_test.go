package kernel

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestGenerated: the committed assembly of each architecture is what its generator writes.
func TestGenerated(t *testing.T) {
	if !onBest() {
		return
	}
	for generator, least := range map[string]int{"./_asm": 30, "./_asm/neon": 7} {
		t.Run(filepath.Base(generator), func(t *testing.T) {
			dir := t.TempDir()
			if out, err := exec.Command("go", "run", generator, dir).CombinedOutput(); err != nil {
				t.Fatalf("generator: %v\n%s", err, out)
			}
			files, err := os.ReadDir(dir)
			if err != nil || len(files) < least {
				t.Fatalf("the generator wrote %d files, want at least %d; %v", len(files), least, err)
			}
			for _, f := range files {
				want, err := os.ReadFile(filepath.Join(dir, f.Name()))
				if err != nil {
					t.Fatal(err)
				}
				if have, err := os.ReadFile(f.Name()); err != nil || string(have) != string(want) {
					t.Errorf("%s is stale: go generate ./internal/infer/kernel", f.Name())
				}
			}
		})
	}
}
