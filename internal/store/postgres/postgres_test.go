package postgres

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hxp-enterprise/mixtral/internal/store"
	"github.com/hxp-enterprise/mixtral/internal/store/storetest"
)

// cluster is a private PostgreSQL that listens on a Unix socket only.
type cluster struct {
	bin, dir string
	as       *syscall.SysProcAttr // initdb refuses root: another user then
	server   *exec.Cmd
}

var shared *cluster

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	bin, err := binaries()
	if err != nil {
		if os.Getenv("CI") != "" {
			return 1, err
		}
		fmt.Fprintln(os.Stderr, "skipped:", err)
		return 0, nil
	}
	if shared, err = newCluster(bin); err != nil {
		return 1, err
	}
	defer shared.remove()
	if err := shared.start(); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// binaries finds initdb's directory: on the path, or where Debian puts it.
func binaries() (string, error) {
	if p, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(p), nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return "", errors.New("postgresql is not installed: its server is needed for these tests")
	}
	slices.Sort(found)
	return filepath.Dir(found[len(found)-1]), nil
}

func newCluster(bin string) (*cluster, error) {
	dir, err := os.MkdirTemp("/tmp", "pg") // a socket's path may have about 100 bytes
	if err != nil {
		return nil, err
	}
	c := &cluster{bin: bin, dir: dir}
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			return nil, err
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		if err := os.Chown(dir, uid, gid); err != nil {
			return nil, err
		}
		c.as = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	cmd := c.command("initdb", "-D", filepath.Join(dir, "data"), "--no-sync", "-A", "trust", "-U", "tester", "-E", "UTF8", "--locale=C")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return c, nil
}

func (c *cluster) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(c.bin, name), args...)
	cmd.Dir, cmd.SysProcAttr = c.dir, c.as
	return cmd
}

// start runs the server until stop.
func (c *cluster) start() error {
	c.server = c.command("postgres", "-D", filepath.Join(c.dir, "data"), "-k", c.dir, "-c", "listen_addresses=", "-c", "fsync=off")
	var log bytes.Buffer
	c.server.Stderr = &log
	if err := c.server.Start(); err != nil {
		return err
	}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		db, err := sql.Open("pgx", c.url("postgres"))
		if err != nil {
			return err
		}
		err = db.Ping()
		db.Close()
		if err == nil {
			return nil
		}
	}
	c.stop()
	return fmt.Errorf("postgres did not start:\n%s", log.String())
}

func (c *cluster) stop() {
	c.server.Process.Signal(syscall.SIGQUIT) // at once, without a checkpoint
	c.server.Wait()
}

func (c *cluster) remove() {
	c.stop()
	os.RemoveAll(c.dir)
}

func (c *cluster) url(database string) string {
	return fmt.Sprintf("postgres:///%s?host=%s&user=tester", database, c.dir)
}

var databases atomic.Int64

// database creates an empty database.
func (c *cluster) database(t *testing.T) string {
	t.Helper()
	db, err := sql.Open("pgx", c.url("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	name := fmt.Sprintf("t%d", databases.Add(1))
	if _, err := db.Exec("CREATE DATABASE " + name); err != nil {
		t.Fatal(err)
	}
	return c.url(name)
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) func(context.Context) (*store.DB, error) {
		url := shared.database(t)
		return func(ctx context.Context) (*store.DB, error) { return Open(ctx, url) }
	})
}

// TestTheLogOutlivesTheDatabase: down at the start, then up, then gone in the middle, then back: nothing is lost while the
// buffer has room, and what finds none is counted.
func TestTheLogOutlivesTheDatabase(t *testing.T) {
	c, err := newCluster(shared.bin)
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(c.dir)
	l := store.NewLog(store.LogOptions{Connect: func(ctx context.Context) (*store.DB, error) { return Open(ctx, c.url("postgres")) },
		Every: 5 * time.Millisecond, Timeout: 2 * time.Second, Buffer: 100})
	add := func(n int) {
		for i := range n {
			l.Add(store.Request{ID: fmt.Sprint(i), Received: time.Now()})
		}
	}
	until := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %d written, %d pending, %d dropped, %d failures", what, l.Written(), l.Pending(), l.Dropped(), l.Failures())
			}
		}
	}
	add(50)
	until("down at the start", func() bool { return l.Failures() > 0 })
	if err := c.start(); err != nil {
		t.Fatal(err)
	}
	until("came up", func() bool { return l.Written() == 50 })
	c.stop()
	failures := l.Failures()
	add(130)
	until("went away", func() bool { return l.Failures() > failures })
	if l.Dropped() != 30 || l.Pending() != 100 {
		t.Errorf("%d dropped, %d pending: want 30 and 100", l.Dropped(), l.Pending())
	}
	if err := c.start(); err != nil {
		t.Fatal(err)
	}
	until("came back", func() bool { return l.Written() == 150 })
	db, err := Open(t.Context(), c.url("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	list, err := db.Requests(t.Context(), time.Time{}, 999)
	if err != nil || len(list) != 150 {
		t.Errorf("%d stored, %v", len(list), err)
	}
	db.Close()
	c.stop()
	add(3)
	l.Close() // with the database away: one attempt, then it gives up
	if l.Dropped() != 33 {
		t.Errorf("%d dropped after close, want 33", l.Dropped())
	}
}

func TestErrorsHideThePassword(t *testing.T) {
	for _, url := range []string{"postgres://u:s3cret@127.0.0.1:1/x", "postgres://u:s3cret@host:port/x"} {
		_, err := Open(t.Context(), url)
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func BenchmarkAddRequests(b *testing.B) {
	db, err := sql.Open("pgx", shared.url("postgres"))
	if err != nil {
		b.Fatal(err)
	}
	name := fmt.Sprintf("b%d", databases.Add(1))
	_, err = db.Exec("CREATE DATABASE " + name)
	db.Close()
	if err != nil {
		b.Fatal(err)
	}
	s, err := Open(b.Context(), shared.url(name))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	list := make([]store.Request, 500)
	for b.Loop() {
		if err := s.AddRequests(b.Context(), list); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*len(list))/b.Elapsed().Seconds(), "requests/s")
}
