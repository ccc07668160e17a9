package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// user is who the program runs as, user and group: no one else's number, the same as in deploy/Dockerfile and in the
// manifests.
const user = 65532

// file is one of a layer. A name that ends in a slash is a folder.
type file struct {
	name  string
	mode  int64
	owner int
	data  []byte
}

// layer is a compressed archive, and the digest of what is in it.
type layer struct {
	compressed []byte
	diff       digest.Digest
}

// baseLayer is what both platforms share: users, how names are resolved, certificates, and the folder that is written
// to.
func baseLayer(rootfs string) (layer, error) {
	files := []file{{"data/", 0o755, user, nil}, {"etc/", 0o755, 0, nil}}
	for _, name := range []string{"group", "nsswitch.conf", "passwd"} {
		data, err := os.ReadFile(filepath.Join(rootfs, "etc", name))
		if err != nil {
			return layer{}, err
		}
		files = append(files, file{"etc/" + name, 0o644, 0, data})
	}
	certificates, err := authorities()
	if err != nil {
		return layer{}, err
	}
	return pack(append(files, file{"etc/ssl/", 0o755, 0, nil}, file{"etc/ssl/certs/", 0o755, 0, nil},
		file{"etc/ssl/certs/ca-certificates.crt", 0o644, 0, certificates}))
}

// authorities are Mozilla's certificate authorities, as the Go project ships them in a module: the same wherever the
// image is made. Those that Mozilla trusts with reservations only are left out, because a file cannot say them.
func authorities() ([]byte, error) {
	var blocks []string
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		c, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			return nil, err
		}
		blocks = append(blocks, fmt.Sprintf("# %s\n%s", c.Subject,
			pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate})))
	}
	slices.Sort(blocks)
	return []byte(strings.Join(blocks, "\n")), nil
}

func programLayer(p program) (layer, error) {
	return pack([]file{{"mixtral", 0o755, 0, p.binary}})
}

// pack makes a layer. Its times are fixed, so that what did not change between releases is the same layer.
func pack(files []file) (layer, error) {
	var plain, compressed bytes.Buffer
	w := tar.NewWriter(&plain)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Mode: f.mode, Uid: f.owner, Gid: f.owner, Size: int64(len(f.data)),
			Typeflag: tar.TypeReg, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
		if strings.HasSuffix(f.name, "/") {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			return layer{}, err
		}
		if _, err := w.Write(f.data); err != nil {
			return layer{}, err
		}
	}
	if err := w.Close(); err != nil {
		return layer{}, err
	}
	z, err := gzip.NewWriterLevel(&compressed, gzip.BestCompression) // with neither name nor time
	if err != nil {
		return layer{}, err
	}
	if _, err := z.Write(plain.Bytes()); err != nil {
		return layer{}, err
	}
	if err := z.Close(); err != nil {
		return layer{}, err
	}
	return layer{compressed.Bytes(), digest.FromBytes(plain.Bytes())}, nil
}
