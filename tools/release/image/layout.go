package main

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	"github.com/opencontainers/image-spec/specs-go/v1"
)

// layout is an OCI image layout: https://github.com/opencontainers/image-spec, version 1.1.
type layout struct {
	blobs     map[digest.Digest][]byte
	manifests []v1.Descriptor // one for each platform
	layers    []digest.Digest // of the last platform
	config    digest.Digest
	name      string // with the tag
}

func newLayout() *layout { return &layout{blobs: map[digest.Digest][]byte{}} }

// put keeps a blob, and says how others refer to it.
func (l *layout) put(kind string, data []byte) v1.Descriptor {
	d := digest.FromBytes(data)
	l.blobs[d] = data
	return v1.Descriptor{MediaType: kind, Digest: d, Size: int64(len(data))}
}

func (l *layout) putJSON(kind string, value any) (v1.Descriptor, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return v1.Descriptor{}, err
	}
	return l.put(kind, data), nil
}

var errMixed = errors.New("the binaries are not of one commit")

// add makes the image of one platform.
func (l *layout) add(p program, base layer) error {
	top, err := programLayer(p)
	if err != nil {
		return err
	}
	if name := repository + ":" + p.tag(); l.name == "" {
		l.name = name
	} else if l.name != name {
		return fmt.Errorf("%w: %s and %s", errMixed, l.name, name)
	}
	labels := labelsOf(p)
	config, err := l.putJSON(v1.MediaTypeImageConfig, v1.Image{
		Created: &p.created, Platform: platform(p), Config: settings(labels),
		RootFS: v1.RootFS{Type: "layers", DiffIDs: []digest.Digest{base.diff, top.diff}},
		History: []v1.History{
			{Created: &p.created, CreatedBy: "deploy/rootfs, certificate authorities and /data"},
			{Created: &p.created, CreatedBy: "go build ./cmd/mixtral"}},
	})
	if err != nil {
		return err
	}
	l.config, l.layers = config.Digest, nil
	var layers []v1.Descriptor
	for _, part := range []layer{base, top} {
		d := l.put(v1.MediaTypeImageLayerGzip, part.compressed)
		layers, l.layers = append(layers, d), append(l.layers, d.Digest)
	}
	manifest, err := l.putJSON(v1.MediaTypeImageManifest, v1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: v1.MediaTypeImageManifest, Config: config, Layers: layers, Annotations: labels})
	if err != nil {
		return err
	}
	where := platform(p)
	manifest.Platform = &where
	l.manifests = append(l.manifests, manifest)
	return nil
}

func platform(p program) v1.Platform {
	where := v1.Platform{OS: p.os, Architecture: p.arch}
	if p.arch == "arm64" {
		where.Variant = "v8"
	}
	return where
}

// settings are how a container starts the program. deploy/Dockerfile says the same; a test holds it to that.
func settings(labels map[string]string) v1.ImageConfig {
	return v1.ImageConfig{
		User:         fmt.Sprintf("%d:%d", user, user),
		ExposedPorts: map[string]struct{}{"11400/tcp": {}},
		// Nothing but /data is written to, so that the rest can be read-only.
		Env:        []string{"HOME=/data", "XDG_DATA_HOME=/data", "TMPDIR=/data", "MIXTRAL_HOST=0.0.0.0"},
		Entrypoint: []string{"/mixtral"},
		Cmd:        []string{"serve"},
		Volumes:    map[string]struct{}{"/data": {}},
		WorkingDir: "/data",
		Labels:     labels,
	}
}

// binaryLabel has the digest of /mixtral: the one of SHA256SUMS, of the bill of materials and of the provenance.
const binaryLabel = "io.github.hxp-enterprise.mixtral.binary.sha256"

func labelsOf(p program) map[string]string {
	source := "https://github.com/hxp-enterprise/mixtral"
	return map[string]string{
		v1.AnnotationTitle:         "Mixtral Service",
		v1.AnnotationDescription:   "Mixtral-8x7B behind an OpenAI-compatible API, and a certifier of such services",
		v1.AnnotationSource:        source,
		v1.AnnotationURL:           source,
		v1.AnnotationDocumentation: source + "/blob/main/README.md",
		v1.AnnotationLicenses:      "Apache-2.0",
		v1.AnnotationVersion:       p.version,
		v1.AnnotationRevision:      p.revision,
		v1.AnnotationCreated:       p.created.UTC().Format(time.RFC3339),
		binaryLabel:                digest.FromBytes(p.binary).Encoded(),
	}
}

// files are the layout's, by path. An index is a blob of its own, as in a registry: its digest is the image's.
func (l *layout) files() (map[string][]byte, error) {
	top := l.manifests[0]
	if len(l.manifests) > 1 {
		var err error
		if top, err = l.putJSON(v1.MediaTypeImageIndex, v1.Index{Versioned: specs.Versioned{SchemaVersion: 2},
			MediaType: v1.MediaTypeImageIndex, Manifests: l.manifests}); err != nil {
			return nil, err
		}
	}
	// containerd has a name of its own for what others call ref.name.
	top.Annotations = map[string]string{v1.AnnotationRefName: l.name, "io.containerd.image.name": l.name}
	index, err := json.Marshal(v1.Index{Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: v1.MediaTypeImageIndex, Manifests: []v1.Descriptor{top}})
	if err != nil {
		return nil, err
	}
	mark, err := json.Marshal(v1.ImageLayout{Version: v1.ImageLayoutVersion})
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{v1.ImageLayoutFile: mark, v1.ImageIndexFile: index}
	for d, data := range l.blobs {
		files[blobPath(d)] = data
	}
	return files, nil
}

func blobPath(d digest.Digest) string { return "blobs/" + d.Algorithm().String() + "/" + d.Encoded() }

func (l *layout) writeDir(dir string) error {
	files, err := l.files()
	if err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (l *layout) writeTar(path string) error {
	files, err := l.files()
	if err != nil {
		return err
	}
	return writeTar(path, files)
}

// writeDocker writes the layout of one platform with the file beside it by which Docker, whatever its version, knows
// an image.
func (l *layout) writeDocker(path string) error {
	files, err := l.files()
	if err != nil {
		return err
	}
	type image struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	entry := image{Config: blobPath(l.config), RepoTags: []string{l.name}}
	for _, d := range l.layers {
		entry.Layers = append(entry.Layers, blobPath(d))
	}
	if files["manifest.json"], err = json.Marshal([]image{entry}); err != nil {
		return err
	}
	return writeTar(path, files)
}

func writeTar(path string, files map[string][]byte) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := tar.NewWriter(f)
	header := func(name string, kind byte, mode, size int64) error {
		return w.WriteHeader(&tar.Header{Name: name, Typeflag: kind, Mode: mode, Size: size, ModTime: time.Unix(0, 0),
			Format: tar.FormatUSTAR})
	}
	for _, dir := range []string{"blobs/", "blobs/sha256/"} {
		if err := header(dir, tar.TypeDir, 0o755, 0); err != nil {
			return err
		}
	}
	// Whoever reads a stream knows what it is before the blobs come.
	order := func(a, b string) int {
		if x, y := strings.Contains(a, "/"), strings.Contains(b, "/"); x != y {
			if y {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	}
	for _, name := range slices.SortedFunc(maps.Keys(files), order) {
		if err := header(name, tar.TypeReg, 0o644, int64(len(files[name]))); err != nil {
			return err
		}
		if _, err := w.Write(files[name]); err != nil {
			return err
		}
	}
	return w.Close()
}
