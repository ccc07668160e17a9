package release_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	provenance "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// statement reads the provenance by in-toto's and SLSA's own types, which refuse fields that they do not know.
func statement(t *testing.T) (*intoto.Statement, *provenance.Provenance) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dist, "provenance.json"))
	if err != nil {
		t.Fatal(err)
	}
	var s intoto.Statement
	if err := protojson.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	predicate, err := protojson.Marshal(s.GetPredicate())
	if err != nil {
		t.Fatal(err)
	}
	var p provenance.Provenance
	if err := protojson.Unmarshal(predicate, &p); err != nil {
		t.Fatal(err)
	}
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	if s.GetPredicateType() != "https://slsa.dev/provenance/v1" {
		t.Errorf("predicate type %s", s.GetPredicateType())
	}
	return &s, &p
}

func fileSum(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// TestDigestsAgree: the files, SHA256SUMS, the bills of materials, the provenance and the image's labels name the same
// digests, and the provenance those of the image as registries know them.
func TestDigestsAgree(t *testing.T) {
	want := sums(t)
	for name, sum := range want {
		if have := fileSum(t, filepath.Join(dist, name)); have != sum {
			t.Errorf("%s: the file has %s, SHA256SUMS says %s", name, have, sum)
		}
	}
	s, _ := statement(t)
	_, top := index(t, filepath.Join(dist, "image"))
	inImages := map[string]bool{top.Digest.Hex: true}
	for _, image := range images(t) {
		d, err := image.Digest()
		if err != nil {
			t.Fatal(err)
		}
		inImages[d.Hex] = true
	}
	said := map[string]string{}
	for _, subject := range s.GetSubject() {
		sum := subject.GetDigest()["sha256"]
		if strings.HasPrefix(subject.GetName(), "ghcr.io/") {
			if !inImages[sum] {
				t.Errorf("the provenance names an image that is not there: %s", sum)
			}
			delete(inImages, sum)
			continue
		}
		said[subject.GetName()] = sum
	}
	if len(inImages) > 0 {
		t.Errorf("the provenance does not name the images %v", inImages)
	}
	if len(said) != len(want) {
		t.Errorf("the provenance names %d files, SHA256SUMS %d", len(said), len(want))
	}
	for name, sum := range want {
		if said[name] != sum {
			t.Errorf("%s: provenance %q, SHA256SUMS %q", name, said[name], sum)
		}
	}
	for _, b := range binaries(t) {
		data, err := os.ReadFile(b.path + ".cdx.json")
		if err != nil {
			t.Fatal(err)
		}
		var bill struct {
			Metadata struct {
				Component struct {
					Hashes []struct{ Alg, Content string }
				}
			}
		}
		if err := json.Unmarshal(data, &bill); err != nil {
			t.Fatal(err)
		}
		if h := bill.Metadata.Component.Hashes; len(h) != 1 || h[0].Alg != "SHA-256" ||
			h[0].Content != want[filepath.Base(b.path)] {
			t.Errorf("%s: the bill of materials says %v", b.path, h)
		}
	}
	for arch, image := range images(t) {
		c, err := image.ConfigFile()
		if err != nil || c.Config.Labels[binaryLabel] != want["mixtral-linux-"+arch] {
			t.Errorf("%s: label %q: %v", arch, c.Config.Labels[binaryLabel], err)
		}
	}
}

// TestProvenance: it tells the commit, each module with the hash that go.sum has, what can be chosen, and who built
// it.
func TestProvenance(t *testing.T) {
	_, p := statement(t)
	said := map[string]map[string]string{}
	for _, d := range p.GetBuildDefinition().GetResolvedDependencies() {
		said[d.GetUri()] = d.GetDigest()
	}
	goSum, err := os.ReadFile("../../go.sum")
	if err != nil {
		t.Fatal(err)
	}
	modules := map[string]bool{}
	for _, b := range binaries(t) {
		commit := said["git+https://github.com/hxp-enterprise/mixtral"]["gitCommit"]
		if commit != b.settings["vcs.revision"] {
			t.Errorf("commit %q, the binary says %q", commit, b.settings["vcs.revision"])
		}
		if _, ok := said["pkg:golang/std@"+strings.TrimPrefix(b.info.GoVersion, "go")]; !ok {
			t.Errorf("%s is not among %v", b.info.GoVersion, said)
		}
		for _, m := range b.info.Deps {
			uri := "pkg:golang/" + m.Path + "@" + strings.ReplaceAll(m.Version, "+", "%2B")
			modules[uri] = true
			sum, err := hex.DecodeString(said[uri]["dirHash"])
			if err != nil || !strings.Contains(string(goSum),
				m.Path+" "+m.Version+" h1:"+base64.StdEncoding.EncodeToString(sum)+"\n") {
				t.Errorf("%s: %v is not what go.sum says: %v", uri, said[uri], err)
			}
		}
		platform := b.os + "/" + b.arch
		if text := p.GetBuildDefinition().GetExternalParameters().String(); !strings.Contains(text, `"`+platform+`"`) {
			t.Errorf("%s is not among the parameters %s", platform, text)
		}
	}
	if len(said) != len(modules)+2 || len(modules) < 10 {
		t.Errorf("%d dependencies, %d modules", len(said), len(modules))
	}
	run := p.GetRunDetails()
	if m := run.GetMetadata(); !strings.HasPrefix(run.GetBuilder().GetId(), "https://") ||
		m.GetFinishedOn().AsTime().Before(m.GetStartedOn().AsTime()) || m.GetStartedOn().AsTime().Year() < 2026 {
		t.Errorf("run: %v", run)
	}
}
