package pgtest

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // asks whether the server is up

	"github.com/hxp-enterprise/mixtral/internal/base/need"
)

// Cluster is a private PostgreSQL server.
type Cluster struct {
	bin, dir string
	as       *syscall.SysProcAttr // initdb refuses root: then another user
	server   *exec.Cmd
	made     atomic.Int64
}

// ErrMissing is matched when PostgreSQL is not installed.
var ErrMissing = errors.New("postgresql is not installed: its server is needed for these tests")

// New makes a cluster, not yet started, for a test or a benchmark, and removes it when that ends. If PostgreSQL is not
// installed, the test is skipped, but fails in CI.
func New(t testing.TB) *Cluster {
	t.Helper()
	c, err := Make()
	if errors.Is(err, ErrMissing) {
		need.Missing(t, "%v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Remove)
	return c
}

// Make is New for a TestMain: the caller must Remove the cluster.
func Make() (*Cluster, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("/tmp", "pg") // the path of a socket may have about 100 bytes
	if err != nil {
		return nil, err
	}
	c := &Cluster{bin: bin, dir: dir}
	if err := c.init(); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	return c, nil
}

// binaries finds initdb's directory: on the path, or where Debian installs it.
func binaries() (string, error) {
	if p, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(p), nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return "", ErrMissing
	}
	slices.Sort(found)
	return filepath.Dir(found[len(found)-1]), nil
}

func (c *Cluster) init() error {
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			return err
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		if err := os.Chown(c.dir, uid, gid); err != nil {
			return err
		}
		c.as = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	cmd := c.command("initdb", "-D", filepath.Join(c.dir, "data"), "--no-sync", "-A", "trust", "-U", "tester", "-E",
		"UTF8", "--locale=C")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

func (c *Cluster) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(c.bin, name), args...)
	cmd.Dir, cmd.SysProcAttr = c.dir, c.as
	return cmd
}

// Start runs the server and waits until it answers.
func (c *Cluster) Start() error {
	c.server = c.command("postgres", "-D", filepath.Join(c.dir, "data"), "-k", c.dir, "-c", "listen_addresses=", "-c",
		"fsync=off")
	var log bytes.Buffer
	c.server.Stderr = &log
	if err := c.server.Start(); err != nil {
		return err
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		db, err := sql.Open("pgx", c.URL("postgres"))
		if err != nil {
			return err
		}
		err = db.Ping()
		db.Close()
		if err == nil {
			return nil
		}
	}
	c.Stop()
	return fmt.Errorf("postgres did not start:\n%s", log.String())
}

// Stop ends the server at once, without a checkpoint, as a crash would.
func (c *Cluster) Stop() {
	if c.server != nil {
		c.server.Process.Signal(syscall.SIGQUIT)
		c.server.Wait()
		c.server = nil
	}
}

// Remove stops the server and deletes everything.
func (c *Cluster) Remove() {
	c.Stop()
	os.RemoveAll(c.dir)
}

// URL returns the URL of a database of the cluster. The database "postgres" always exists.
func (c *Cluster) URL(database string) string {
	return fmt.Sprintf("postgres:///%s?host=%s&user=tester", database, c.dir)
}

// Database creates an empty database on the running server and returns its URL.
func (c *Cluster) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("t%d", c.made.Add(1))
	c.Exec(t, c.URL("postgres"), "CREATE DATABASE "+name)
	return c.URL(name)
}

// Exec runs a statement on a database.
func (c *Cluster) Exec(t testing.TB, url, statement string) {
	t.Helper()
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}
