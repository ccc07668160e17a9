package release_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/hxp-enterprise/mixtral/internal/base/need"
)

const binaryLabel = "io.github.hxp-enterprise.mixtral.binary.sha256"

// index is a layout's index.json, and its one entry: the index of all platforms' images, or the image if there is one.
func index(t *testing.T, dir string) (v1.ImageIndex, v1.Descriptor) {
	t.Helper()
	top, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	m, err := top.IndexManifest()
	if err != nil || len(m.Manifests) != 1 {
		t.Fatalf("%+v, %v", m, err)
	}
	return top, m.Manifests[0]
}

// images are those of each architecture.
func images(t *testing.T) map[string]v1.Image {
	t.Helper()
	all, d := index(t, filepath.Join(dist, "image"))
	if d.MediaType.IsIndex() {
		var err error
		if all, err = all.ImageIndex(d.Digest); err != nil {
			t.Fatal(err)
		}
	}
	m, err := all.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]v1.Image{}
	for _, d := range m.Manifests {
		image, err := all.Image(d.Digest)
		if err != nil || d.Platform.OS != "linux" {
			t.Fatalf("%+v: %v", d, err)
		}
		found[d.Platform.Architecture] = image
	}
	return found
}

// TestImage reads the layout with another library: every digest and size is right, and each platform's image has that
// platform's binary, the settings of the manifests and the labels of its commit.
func TestImage(t *testing.T) {
	all, d := index(t, filepath.Join(dist, "image"))
	if err := validate.Index(all); err != nil {
		t.Fatal(err)
	}
	found := images(t)
	want := 1 + 3*len(found) // what they share; of each image its manifest, configuration and program
	if d.MediaType.IsIndex() {
		want++
	}
	if d.MediaType.IsIndex() != (len(found) > 1) {
		t.Errorf("%d images in one %s", len(found), d.MediaType)
	}
	blobs, err := filepath.Glob(filepath.Join(dist, "image", "blobs", "sha256", "*"))
	if err != nil || len(blobs) != want {
		t.Fatalf("%q, want %d, %v", blobs, want, err)
	}
	for _, path := range blobs {
		if sum := fileSum(t, path); sum != filepath.Base(path) {
			t.Errorf("%s has the digest %s", path, sum)
		}
	}
	for _, b := range binaries(t) {
		if b.os != "linux" {
			continue
		}
		image := found[b.arch]
		delete(found, b.arch)
		if image == nil {
			t.Errorf("no image for %s", b.arch)
			continue
		}
		c, err := image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if c.Architecture != b.arch || c.Config.User != "65532:65532" || !slices.Equal(c.Config.Entrypoint,
			[]string{"/mixtral"}) || !slices.Equal(c.Config.Cmd, []string{"serve"}) || c.Config.WorkingDir != "/data" {
			t.Errorf("%+v", c)
		}
		if _, ok := c.Config.ExposedPorts["11400/tcp"]; !ok {
			t.Errorf("ports %v", c.Config.ExposedPorts)
		}
		for name, want := range map[string]string{"org.opencontainers.image.revision": b.settings["vcs.revision"],
			"org.opencontainers.image.version": b.info.Main.Version, "org.opencontainers.image.licenses": "Apache-2.0",
			"org.opencontainers.image.created": b.settings["vcs.time"],
			"org.opencontainers.image.source":  "https://github.com/hxp-enterprise/mixtral",
			binaryLabel:                        sums(t)["mixtral-linux-"+b.arch]} {
			if got := c.Config.Labels[name]; got != want {
				t.Errorf("%s: label %s is %q, want %q", b.arch, name, got, want)
			}
		}
		files := extract(t, image, "")
		want, err := os.ReadFile(b.path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(files["mixtral"], want) {
			t.Errorf("%s: /mixtral is not the binary of the release", b.arch)
		}
		if !strings.Contains(string(files["etc/passwd"]), ":65532:65532:") ||
			!strings.Contains(string(files["etc/ssl/certs/ca-certificates.crt"]), "BEGIN CERTIFICATE") {
			t.Errorf("%s: users or certificates are missing", b.arch)
		}
	}
	if len(found) > 0 {
		t.Errorf("images without a binary: %v", found)
	}
}

// TestManifestsNameTheImage: the manifests pull the image under its name and run it as its user, at its port.
func TestManifestsNameTheImage(t *testing.T) {
	_, d := index(t, filepath.Join(dist, "image"))
	name, _, _ := strings.Cut(d.Annotations["org.opencontainers.image.ref.name"], ":")
	for path, want := range map[string]string{
		"kubernetes/image/kustomization.yaml":           "newName: " + name + ",",
		"helm/mixtral/values.yaml":                      "repository: " + name + "\n",
		"kubernetes/overlays/embedded/statefulset.yaml": "runAsUser: 65532, fsGroup: 65532",
		"kubernetes/vllm/service.yaml":                  "runAsUser: 65532",
		"kubernetes/overlays/certify/job.yaml":          "runAsUser: 65532",
	} {
		data, err := os.ReadFile(filepath.Join("../../deploy", path))
		if err != nil || !strings.Contains(string(data), want) {
			t.Errorf("%s does not say %q: %v", path, want, err)
		}
	}
}

// extract writes an image's files into a folder, or gives them if there is none.
func extract(t *testing.T, image v1.Image, dir string) map[string][]byte {
	t.Helper()
	flat := mutate.Extract(image)
	defer flat.Close()
	files := map[string][]byte{}
	for r := tar.NewReader(flat); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = data
		if dir == "" {
			continue
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, 0o755)
		} else {
			err = os.WriteFile(path, data, os.FileMode(h.Mode))
		}
		if err = errors.Join(err, os.Chmod(path, os.FileMode(h.Mode)), os.Lchown(path, h.Uid, h.Gid)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTars: the file with all platforms holds the layout byte for byte, and each platform's file is an image that
// Docker's own format describes, too.
func TestTars(t *testing.T) {
	dir := t.TempDir()
	unpack := exec.Command("tar", "-C", dir, "-xf", filepath.Join(dist, "mixtral-image.tar"))
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := exec.Command("diff", "-r", dir, filepath.Join(dist, "image")).CombinedOutput(); err != nil {
		t.Errorf("mixtral-image.tar is not image/: %s", out)
	}
	for arch, want := range images(t) {
		path := filepath.Join(dist, "mixtral-image-linux-"+arch+".tar")
		image, err := tarball.ImageFromPath(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Image(image); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		a, err := image.ConfigName()
		b, berr := want.ConfigName()
		if err != nil || berr != nil || a != b {
			t.Errorf("%s has the configuration %s, the layout %s: %v, %v", path, a, b, err, berr)
		}
	}
}

// TestSkopeo: a tool that moves images between registries takes each file, in each of its formats, whole.
func TestSkopeo(t *testing.T) {
	tool, err := exec.LookPath("skopeo")
	if err != nil {
		need.Missing(t, "skopeo is not installed (Debian's package skopeo)")
	}
	_, top := index(t, filepath.Join(dist, "image"))
	moves := [][]string{{"--all", "oci-archive:" + filepath.Join(dist, "mixtral-image.tar")},
		{"--all", "oci:" + filepath.Join(dist, "image")}}
	for arch := range images(t) {
		path := filepath.Join(dist, "mixtral-image-linux-"+arch+".tar")
		moves = append(moves, []string{"oci-archive:" + path}, []string{"docker-archive:" + path})
	}
	for _, args := range moves {
		to := filepath.Join(t.TempDir(), "copy")
		cmd := exec.CommandContext(t.Context(), tool, slices.Concat([]string{"copy", "--insecure-policy", "-q"}, args,
			[]string{"oci:" + to + ":x"})...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("skopeo %q: %v: %s", args, err, out)
			continue
		}
		if args[0] == "--all" {
			if _, copied := index(t, to); copied.Digest != top.Digest {
				t.Errorf("skopeo %q: the copy is %s, was %s", args, copied.Digest, top.Digest)
			}
		}
	}
}

// libraries are the files that a dynamic program needs, with its loader.
func libraries(t *testing.T, path string) []string {
	t.Helper()
	out, err := exec.Command("ldd", path).CombinedOutput()
	if err != nil && !strings.Contains(string(out), "not a dynamic") {
		t.Fatalf("ldd %s: %v: %s", path, err, out)
	}
	return append(regexp.MustCompile(`/\S+`).FindAllString(strings.ReplaceAll(string(out), path+":", ""), -1), path)
}

// TestImageStarts: in a folder that has nothing but the image's files, the program starts as the image's user, with
// the image's environment, on a file system that is read-only but for /data, as the manifests have it; and serves.
func TestImageStarts(t *testing.T) {
	if os.Geteuid() != 0 {
		need.Missing(t, "only root can change the root folder")
	}
	for arch, image := range images(t) {
		t.Run(arch, func(t *testing.T) {
			root := t.TempDir()
			extract(t, image, root)
			if err := os.Chmod(root, 0o755); err != nil {
				t.Fatal(err)
			}
			c, err := image.ConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			var before []string
			if arch != runtime.GOARCH {
				emulator, err := exec.LookPath(emulators[arch])
				if err != nil {
					need.Missing(t, "%s is not installed (Debian's package qemu-user)", emulators[arch])
				}
				for _, path := range libraries(t, emulator) {
					copyFile(t, path, filepath.Join(root, path))
				}
				before = []string{emulator, "-cpu", "max"}
			}
			start := func(args ...string) *exec.Cmd {
				// In a mount namespace of its own: what is mounted is gone with the process.
				script := `mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && mount --bind "$2" "$1/data" && ` +
					`root=$1 && shift 2 && exec chroot --userspec=` + c.Config.User + ` "$root" "$@"`
				data := t.TempDir()
				if err := os.Chown(data, 65532, 65532); err != nil {
					t.Fatal(err)
				}
				cmd := exec.CommandContext(t.Context(), "unshare", slices.Concat([]string{"-m", "sh", "-c", script,
					"sh", root, data}, before, c.Config.Entrypoint, args)...)
				cmd.Env = c.Config.Env
				cmd.Env = append(cmd.Env, "PATH="+os.Getenv("PATH"))
				return cmd
			}
			if out := output(t, start("version")); !strings.Contains(out, "linux/"+arch) {
				t.Errorf("version: %s", out)
			}
			out := output(t, start("run", "--seed", "1", "--max-tokens", "8", "Hello"))
			if len(strings.Fields(out)) < 2 {
				t.Errorf("run: %q", out)
			}
			serves(t, start(append(c.Config.Cmd, "--insecure-bind", "--port", "0")...))
		})
	}
}

var listens = regexp.MustCompile(`http://[^ "]*:(\d+)`)

// serves holds a service to its first answer and its end.
func serves(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	var log lines
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	ready := false
	for end := time.Now().Add(2 * time.Minute); !ready && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if m := listens.FindStringSubmatch(log.String()); m != nil {
			if r, err := http.Get("http://127.0.0.1:" + m[1] + "/readyz"); err == nil {
				r.Body.Close()
				ready = r.StatusCode == http.StatusOK
			}
		}
	}
	if !ready {
		t.Errorf("not ready: %s", log.String())
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("%v: %s", err, log.String())
		}
	case <-time.After(time.Minute):
		t.Errorf("does not end: %s", log.String())
		_ = cmd.Process.Kill()
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, data, 0o755))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// lines is what a process has written so far.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
