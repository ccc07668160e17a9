package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hxp-enterprise/mixtral/certify/attest"
)

const (
	predicateType = "https://slsa.dev/provenance/v1"
	source        = "https://github.com/hxp-enterprise/mixtral"
	// buildType leads to where externalParameters and internalParameters are explained.
	buildType = source + "/blob/main/docs/SECURITY.md#how-a-release-is-built"
)

var (
	errSums   = errors.New("SHA256SUMS is not of these files")
	errBinary = errors.New("a binary does not say how it was built")
	errMixed  = errors.New("the binaries were not built alike")
	errURL    = errors.New("no URL")
)

// statement is in-toto's, version 1, with SLSA's predicate: https://slsa.dev/spec/v1.0/provenance.
type statement struct {
	Type          string            `json:"_type"`
	Subject       []attest.Resource `json:"subject"`
	PredicateType string            `json:"predicateType"`
	Predicate     predicate         `json:"predicate"`
}

type predicate struct {
	BuildDefinition struct {
		BuildType            string            `json:"buildType"`
		ExternalParameters   parameters        `json:"externalParameters"`
		InternalParameters   map[string]string `json:"internalParameters"`
		ResolvedDependencies []attest.Resource `json:"resolvedDependencies"`
	} `json:"buildDefinition"`
	RunDetails struct {
		Builder struct {
			ID string `json:"id"`
		} `json:"builder"`
		Metadata struct {
			InvocationID string    `json:"invocationId,omitempty"`
			StartedOn    time.Time `json:"startedOn"`
			FinishedOn   time.Time `json:"finishedOn"`
		} `json:"metadata"`
	} `json:"runDetails"`
}

// parameters are what whoever builds a release chooses.
type parameters struct {
	Source    string   `json:"source"`
	Revision  string   `json:"revision"`
	Platforms []string `json:"platforms"`
}

func encode(s *statement) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(s)
	return b.Bytes(), err
}

// describe makes the statement of a folder.
func describe(dir string, o options) (*statement, error) {
	if !strings.Contains(o.builder, "://") {
		return nil, fmt.Errorf("-builder: %w: %q; it must be one that tells builders apart", errURL, o.builder)
	}
	s := &statement{Type: attest.StatementType, PredicateType: predicateType}
	var err error
	if s.Subject, err = subjects(dir); err != nil {
		return nil, err
	}
	b := &s.Predicate.BuildDefinition
	b.BuildType = buildType
	if err := s.readBinaries(dir); err != nil {
		return nil, err
	}
	images, err := images(dir)
	if err != nil {
		return nil, err
	}
	s.Subject = append(s.Subject, images...)
	run := &s.Predicate.RunDetails
	run.Builder.ID = o.builder
	run.Metadata.InvocationID = o.invocation
	run.Metadata.StartedOn = o.started.UTC().Truncate(time.Second)
	run.Metadata.FinishedOn = o.finished.UTC().Truncate(time.Second)
	return s, nil
}

// subjects are the files of SHA256SUMS, each held to its digest.
func subjects(dir string) (list []attest.Resource, err error) {
	f, err := os.Open(filepath.Join(dir, "SHA256SUMS"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		sum, name, ok := strings.Cut(lines.Text(), "  ")
		if !ok || !filepath.IsLocal(name) {
			return nil, fmt.Errorf("%w: %q is not a line of it", errSums, lines.Text())
		}
		have, err := digest(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		if have != sum {
			return nil, fmt.Errorf("%w: %s has the digest %s, not %s", errSums, name, have, sum)
		}
		list = append(list, attest.Resource{Name: name, Digest: map[string]string{"sha256": sum}})
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: it is empty", errSums)
	}
	return list, nil
}

func digest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	return hex.EncodeToString(sum.Sum(nil)), err
}

// readBinaries says of which commit, modules and settings the subjects that are binaries were built.
func (s *statement) readBinaries(dir string) error {
	b := &s.Predicate.BuildDefinition
	modules := map[string]attest.Resource{}
	for _, subject := range s.Subject {
		if filepath.Ext(subject.Name) != "" || !strings.HasPrefix(subject.Name, "mixtral-") {
			continue
		}
		info, err := buildinfo.ReadFile(filepath.Join(dir, subject.Name))
		if err != nil {
			return fmt.Errorf("%s: %w", subject.Name, err)
		}
		said := map[string]string{"go": info.GoVersion}
		settings := map[string]string{}
		for _, x := range info.Settings {
			settings[x.Key] = x.Value
			switch x.Key {
			case "-trimpath", "-ldflags", "-tags", "CGO_ENABLED", "GOAMD64", "GOARM64", "GOEXPERIMENT":
				said[x.Key] = x.Value
			}
		}
		revision := settings["vcs.revision"]
		if revision == "" || settings["vcs.modified"] != "false" {
			return fmt.Errorf("%s: %w: vcs.revision %q, vcs.modified %q", subject.Name, errBinary, revision,
				settings["vcs.modified"])
		}
		if p := &b.ExternalParameters; p.Revision == "" {
			p.Source, p.Revision, b.InternalParameters = "git+"+source, revision, said
		} else if p.Revision != revision || b.InternalParameters["go"] != info.GoVersion {
			return fmt.Errorf("%s: %w: commit %s by %s, others are of %s by %s", subject.Name, errMixed, revision,
				info.GoVersion, p.Revision, b.InternalParameters["go"])
		}
		for key, value := range said { // GOAMD64 is only known where it means something
			b.InternalParameters[key] = value
		}
		platforms := &b.ExternalParameters.Platforms
		*platforms = append(*platforms, settings["GOOS"]+"/"+settings["GOARCH"])
		for _, m := range info.Deps {
			if m.Replace != nil {
				m = m.Replace
			}
			sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.Sum, "h1:"))
			if err != nil || len(sum) != sha256.Size {
				return fmt.Errorf("%s: %w: %s@%s has no hash of go.sum's, but %q", subject.Name, errBinary, m.Path,
					m.Version, m.Sum)
			}
			uri := "pkg:golang/" + m.Path + "@" + strings.ReplaceAll(m.Version, "+", "%2B")
			modules[uri] = attest.Resource{URI: uri, Digest: map[string]string{"dirHash": hex.EncodeToString(sum)}}
		}
	}
	p := b.ExternalParameters
	if p.Revision == "" {
		return fmt.Errorf("%w: there is none", errBinary)
	}
	b.ResolvedDependencies = []attest.Resource{{URI: p.Source, Digest: map[string]string{"gitCommit": p.Revision}},
		{URI: "pkg:golang/std@" + strings.TrimPrefix(b.InternalParameters["go"], "go")}}
	var uris []string
	for uri := range modules {
		uris = append(uris, uri)
	}
	slices.Sort(uris)
	for _, uri := range uris {
		b.ResolvedDependencies = append(b.ResolvedDependencies, modules[uri])
	}
	return nil
}

// images are the container images as a registry names them, by the digests of their manifests: all platforms together,
// and each. Where only binaries for other systems were built there is none.
func images(dir string) ([]attest.Resource, error) {
	top, err := readIndex(filepath.Join(dir, "image", v1.ImageIndexFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []attest.Resource
	for _, m := range top {
		name := m.Annotations[v1.AnnotationRefName]
		repository, tag := name[:max(0, strings.LastIndex(name, ":"))], name[strings.LastIndex(name, ":")+1:]
		add := func(d v1.Descriptor) {
			said := map[string]string{"tag": tag}
			if p := d.Platform; p != nil {
				said["platform"] = p.OS + "/" + p.Architecture
			}
			list = append(list, attest.Resource{Name: repository, Annotations: said,
				Digest: map[string]string{d.Digest.Algorithm().String(): d.Digest.Encoded()}})
		}
		add(m)
		if m.MediaType != v1.MediaTypeImageIndex {
			continue
		}
		each, err := readIndex(filepath.Join(dir, "image", "blobs", m.Digest.Algorithm().String(), m.Digest.Encoded()))
		if err != nil {
			return nil, err
		}
		for _, d := range each {
			add(d)
		}
	}
	return list, nil
}

func readIndex(path string) ([]v1.Descriptor, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var index v1.Index
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return index.Manifests, nil
}
