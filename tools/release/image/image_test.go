package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/x509"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go/v1"
)

const rootfs = "../../../deploy/rootfs"

func sample(arch string) program {
	return program{binary: []byte("a program for " + arch), os: "linux", arch: arch, version: "v1.2.3+dirty",
		revision: strings.Repeat("a", 40), created: time.Date(2026, 11, 29, 1, 2, 3, 0, time.UTC)}
}

// made writes a layout of both platforms into a folder.
func made(t *testing.T) (dir string) {
	t.Helper()
	base, err := baseLayer(rootfs)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	l := newLayout()
	for _, arch := range []string{"amd64", "arm64"} {
		if err := l.add(sample(arch), base); err != nil {
			t.Fatal(err)
		}
	}
	err = errors.Join(l.writeDir(filepath.Join(dir, "image")), l.writeTar(filepath.Join(dir, "image.tar")))
	if err != nil {
		t.Fatal(err)
	}
	one := newLayout()
	if err := errors.Join(one.add(sample("arm64"), base), one.writeDocker(filepath.Join(dir, "one.tar"))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// blob reads one, and holds it to its descriptor.
func blob(t *testing.T, dir string, d v1.Descriptor) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, blobPath(d.Digest)))
	if err != nil || digest.FromBytes(data) != d.Digest || int64(len(data)) != d.Size {
		t.Fatalf("%s: %d bytes, %v", d.Digest, len(data), err)
	}
	return data
}

func decode[T any](t *testing.T, data []byte) (v T) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return v
}

// unpack gives a layer's files, with what their headers say.
func unpack(t *testing.T, compressed []byte, diff digest.Digest) map[string]*tar.Header {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		t.Fatal(err)
	}
	if !z.ModTime.IsZero() || z.Name != "" {
		t.Errorf("the layer tells its time or name: %+v", z.Header)
	}
	plain, err := io.ReadAll(z)
	if err != nil || digest.FromBytes(plain) != diff {
		t.Fatalf("the layer is not %s: %v", diff, err)
	}
	all := map[string]*tar.Header{}
	for r := tar.NewReader(bytes.NewReader(plain)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		h.PAXRecords = map[string]string{"data": string(data)}
		all[h.Name] = h
		if !h.ModTime.Equal(time.Unix(0, 0)) || h.Uname != "" {
			t.Errorf("%s: time %v, owner %q", h.Name, h.ModTime, h.Uname)
		}
	}
}

// TestLayout reads an image back, from the index to each file.
func TestLayout(t *testing.T) {
	dir := filepath.Join(made(t), "image")
	mark, err := os.ReadFile(filepath.Join(dir, "oci-layout"))
	if err != nil || string(mark) != `{"imageLayoutVersion":"1.0.0"}` {
		t.Fatalf("%s, %v", mark, err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	top := decode[v1.Index](t, data).Manifests
	if len(top) != 1 || top[0].MediaType != v1.MediaTypeImageIndex ||
		top[0].Annotations[v1.AnnotationRefName] != repository+":v1.2.3_dirty" {
		t.Fatalf("%+v", top)
	}
	index := decode[v1.Index](t, blob(t, dir, top[0]))
	if len(index.Manifests) != 2 || index.SchemaVersion != 2 {
		t.Fatalf("%+v", index)
	}
	for i, arch := range []string{"amd64", "arm64"} {
		m := index.Manifests[i]
		if p := m.Platform; p.OS != "linux" || p.Architecture != arch || (arch == "arm64") != (p.Variant == "v8") {
			t.Errorf("platform %+v", p)
		}
		manifest := decode[v1.Manifest](t, blob(t, dir, m))
		config := decode[v1.Image](t, blob(t, dir, manifest.Config))
		if config.Architecture != arch || config.OS != "linux" || len(manifest.Layers) != 2 ||
			len(config.RootFS.DiffIDs) != 2 || len(config.History) != 2 {
			t.Fatalf("%+v, %+v", manifest, config)
		}
		labels := config.Config.Labels
		if !maps.Equal(labels, manifest.Annotations) || labels[v1.AnnotationVersion] != "v1.2.3+dirty" ||
			labels[v1.AnnotationRevision] != strings.Repeat("a", 40) ||
			labels[v1.AnnotationCreated] != "2026-11-29T01:02:03Z" ||
			labels[binaryLabel] != digest.FromString("a program for "+arch).Encoded() {
			t.Errorf("labels %v", labels)
		}
		small := unpack(t, blob(t, dir, manifest.Layers[0]), config.RootFS.DiffIDs[0])
		if h := small["data/"]; h == nil || h.Uid != user || h.Gid != user || h.Mode != 0o755 {
			t.Errorf("/data: %+v", h)
		}
		for name, want := range map[string]string{"etc/passwd": "\nmixtral:x:65532:65532:Mixtral Service:/data:",
			"etc/group": "\nmixtral:x:65532:\n", "etc/nsswitch.conf": "hosts: files dns"} {
			if h := small[name]; h == nil || h.Uid != 0 || h.Mode != 0o644 ||
				!strings.Contains(h.PAXRecords["data"], want) {
				t.Errorf("%s: %+v", name, h)
			}
		}
		pool := x509.NewCertPool()
		if h := small["etc/ssl/certs/ca-certificates.crt"]; h == nil ||
			!pool.AppendCertsFromPEM([]byte(h.PAXRecords["data"])) ||
			strings.Count(h.PAXRecords["data"], "BEGIN CERTIFICATE") < 100 {
			t.Error("there are no certificate authorities")
		}
		program := unpack(t, blob(t, dir, manifest.Layers[1]), config.RootFS.DiffIDs[1])
		if h := program["mixtral"]; len(program) != 1 || h.Mode != 0o755 || h.Uid != 0 ||
			h.PAXRecords["data"] != "a program for "+arch {
			t.Errorf("the program: %+v", program)
		}
	}
	if a, b := decode[v1.Manifest](t, blob(t, dir, index.Manifests[0])), decode[v1.Manifest](t,
		blob(t, dir, index.Manifests[1])); a.Layers[0].Digest != b.Layers[0].Digest {
		t.Error("the platforms do not share what is the same")
	}
}

// TestSameBytes: an image is made twice, in two folders, and the tar holds what the folder does.
func TestSameBytes(t *testing.T) {
	a, b := made(t), made(t)
	inTar := map[string]string{}
	for _, name := range []string{"image.tar", "one.tar"} {
		x, err := os.ReadFile(filepath.Join(a, name))
		if err != nil {
			t.Fatal(err)
		}
		y, err := os.ReadFile(filepath.Join(b, name))
		if err != nil || !bytes.Equal(x, y) {
			t.Errorf("%s differs: %v", name, err)
		}
		if name != "image.tar" {
			continue
		}
		for r := tar.NewReader(bytes.NewReader(x)); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if h.Typeflag == tar.TypeReg {
				inTar[h.Name] = string(data)
			}
		}
	}
	inDir := map[string]string{}
	dir := os.DirFS(filepath.Join(b, "image"))
	for _, pattern := range []string{"*", "blobs/sha256/*"} {
		files, err := filepath.Glob(filepath.Join(b, "image", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			name, err := filepath.Rel(filepath.Join(b, "image"), path)
			if err != nil {
				t.Fatal(err)
			}
			f, err := dir.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			if info, err := f.Stat(); err == nil && !info.IsDir() {
				data, err := io.ReadAll(f)
				if err != nil {
					t.Fatal(err)
				}
				inDir[name] = string(data)
			}
			f.Close()
		}
	}
	if !maps.Equal(inTar, inDir) || len(inDir) != 2+1+2*3+1 {
		t.Errorf("the tar has %q, the folder %q", slices.Sorted(maps.Keys(inTar)), slices.Sorted(maps.Keys(inDir)))
	}
}

// TestDockerfile: `docker build` gives an image with the same settings, labels and files.
func TestDockerfile(t *testing.T) {
	data, err := os.ReadFile("../../../deploy/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	_, stage, ok := strings.Cut(strings.ReplaceAll(string(data), "\\\n", ""), "FROM scratch\n")
	if !ok {
		t.Fatal("the last stage is not from scratch")
	}
	got := map[string]string{}
	for line := range strings.Lines(stage) {
		if word, rest, ok := strings.Cut(strings.TrimSpace(line), " "); ok && word != "#" {
			got[word] = strings.TrimPrefix(got[word]+"\n"+rest, "\n")
		}
	}
	p := sample("amd64")
	c := settings(labelsOf(p))
	list := func(words []string) string {
		text, err := json.Marshal(words)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for word, want := range map[string]string{"USER": c.User, "WORKDIR": c.WorkingDir,
		"ENTRYPOINT": list(c.Entrypoint), "CMD": list(c.Cmd), "ENV": strings.Join(c.Env, " "),
		"VOLUME": strings.Join(slices.Collect(maps.Keys(c.Volumes)), " "),
		"EXPOSE": strings.TrimSuffix(strings.Join(slices.Collect(maps.Keys(c.ExposedPorts)), " "), "/tcp"),
		"COPY": "deploy/rootfs /\n--from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/\n" +
			"--from=build --chown=65532:65532 /data /data\n--from=build /mixtral /mixtral"} {
		if got[word] != want {
			t.Errorf("%s %s, want %s", word, got[word], want)
		}
	}
	labels := map[string]string{}
	for _, m := range regexp.MustCompile(`(\S+)="([^"]*)"`).FindAllStringSubmatch(got["LABEL"], -1) {
		labels[m[1]] = m[2]
	}
	want := labelsOf(p)
	for _, name := range []string{v1.AnnotationVersion, v1.AnnotationRevision, v1.AnnotationCreated, binaryLabel} {
		delete(want, name) // docker build knows no commit
	}
	if !maps.Equal(labels, want) {
		t.Errorf("labels %v, want %v", labels, want)
	}
}

// TestBadBinaries: what would make an image that does not start, or that does not say what is in it, is refused.
func TestBadBinaries(t *testing.T) {
	good := map[string]string{"GOOS": "linux", "GOARCH": "arm64", "CGO_ENABLED": "0", "vcs.revision": "abc",
		"vcs.time": "2026-11-29T01:02:03Z", "vcs.modified": "false"}
	for change, want := range map[string]error{"": nil, "GOOS=darwin": errPlatform, "GOARCH=386": errPlatform,
		"CGO_ENABLED=1": errPlatform, "vcs.revision=": errCommit, "vcs.time=": errCommit,
		"vcs.modified=true": errCommit, "vcs.modified=": errCommit} {
		info := &buildinfo.BuildInfo{Main: debug.Module{Version: "v1.2.3"}}
		key, value, _ := strings.Cut(change, "=")
		for k, v := range good {
			if k == key {
				v = value
			}
			info.Settings = append(info.Settings, debug.BuildSetting{Key: k, Value: v})
		}
		if p, err := about(info); !errors.Is(err, want) || p.version != "v1.2.3" {
			t.Errorf("%s: %+v, %v, want %v", change, p, err, want)
		}
	}
	if err := run(t.TempDir(), rootfs, []string{"image_test.go"}); err == nil {
		t.Error("an image of a text")
	}
	base, err := baseLayer(rootfs)
	if err != nil {
		t.Fatal(err)
	}
	l, other := newLayout(), sample("arm64")
	other.version = "v1.2.4"
	if err := errors.Join(l.add(sample("amd64"), base), l.add(other, base)); !errors.Is(err, errMixed) {
		t.Errorf("two versions in one image: %v", err)
	}
}
