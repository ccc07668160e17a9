package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/alecthomas/kong"

	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/internal/serve/access"
	"github.com/hxp-enterprise/mixtral/internal/serve/service"
	"github.com/hxp-enterprise/mixtral/internal/web/console"
	"github.com/hxp-enterprise/mixtral/internal/web/verifypage"
)

// consoleCmd serves the web interface of runs until a signal ends it.
type consoleCmd struct {
	Listen       string   `default:"127.0.0.1:11480" placeholder:"ADDRESS:PORT" help:"Address to listen on, port 0 for any free one; default: ${default}. An address that other machines can reach needs --key-file."`
	Dir          string   `default:"reports" placeholder:"DIR" help:"Directory of reports, and of the records of runs that go on; default: ${default}."`
	KeyFile      string   `name:"key-file" type:"existingfile" placeholder:"FILE" help:"File with a name and an API key on each line; pages then ask for one of these keys. It is reloaded when it changes."`
	TLSCert      string   `name:"tls-cert-file" type:"existingfile" placeholder:"FILE" help:"PEM certificate: serve over TLS."`
	TLSKey       string   `name:"tls-key-file" type:"existingfile" placeholder:"FILE" help:"PEM key of the certificate."`
	AllowedHosts []string `name:"allowed-hosts" placeholder:"NAMES" help:"Host names that requests may name, separated by commas, besides localhost and IP addresses."`
	APIKeyEnv    []string `name:"api-key-env" placeholder:"NAMES" help:"Environment variables, separated by commas, whose values the form may use as a target's API key; default: none. The form names them and never shows them."`
	ReadOnly     bool     `help:"Show runs, and do not start any."`
	VerifyPage   string   `name:"verify-page" type:"existingfile" placeholder:"FILE" help:"Page that verifies reports in a browser; default: verify.html beside this program, as in a release."`
	JSON         bool     `help:"Print the address as JSON."`
	databaseFlag

	flag string // that Listen comes from, if it is not --listen
}

// Help returns the text below the flags.
func (consoleCmd) Help() string {
	return "It shows the runs of the database and of the directory, their trends, two of them against each other, " +
		"and those that are going on, whichever process makes them. SIGINT or SIGTERM ends it; a run that its form " +
		"started is stopped then and leaves a report."
}

func (c *consoleCmd) Run(a *app) error {
	if err := c.valid(); err != nil {
		return err
	}
	conf, err := c.config(a)
	if err != nil {
		return err
	}
	k := console.New(conf)
	s, err := c.open(a, k)
	if err != nil {
		return errors.Join(err, k.Close())
	}
	if c.JSON {
		err = printJSON(a.stdout, map[string]string{"url": s.url})
	} else {
		_, err = fmt.Fprintf(a.stdout, "console: %s\n", s.url)
	}
	if err == nil {
		select {
		case <-a.ctx.Done():
		case err = <-s.failed:
		}
	}
	return errors.Join(err, s.close(k))
}

// config makes the console's configuration: where runs are, who may see them, and how one is started.
func (c *consoleCmd) config(a *app) (console.Config, error) {
	conf := console.Config{Database: c.Database, Dir: c.Dir, Version: versionString(),
		Verify: verifyPage(c.VerifyPage),
		Log:    slog.New(slog.NewTextHandler(a.stderr, nil))}
	host, err := hostOf("listen", c.Listen)
	if err != nil {
		return conf, err
	}
	local := service.Loopback(host)
	if !local && c.KeyFile == "" {
		return conf, usageError(withHint(fmt.Errorf("--listen: other machines reach %s, so --key-file is needed",
			c.Listen), "a key file has a name and an API key on each line, as mixtral serve --api-key-file takes it"))
	}
	if local || len(c.AllowedHosts) > 0 {
		conf.Host = access.Hosts(append([]string{strings.Trim(host, "[]")}, c.AllowedHosts...)).Check
	}
	if c.KeyFile != "" {
		keys, err := access.OpenCallers(c.KeyFile, conf.Log)
		if err != nil {
			return conf, usageError(fmt.Errorf("--key-file: %w", err))
		}
		conf.Key = func(key string) bool {
			_, err := keys.Identify(time.Now(), &http.Request{Header: http.Header{"Authorization": {"Bearer " + key}}})
			return err == nil
		}
	}
	if !c.ReadOnly {
		program, err := os.Executable()
		if err != nil {
			return conf, setupError(withHint(err, "--read-only starts no runs and needs no program"))
		}
		conf.Start = &console.Starter{Program: program, Env: environment(c.Database), KeyEnvs: c.APIKeyEnv}
	}
	return conf, nil
}

// environment returns the environment of a run. The run saves itself in the console's database; its address is not an
// argument because it may contain a password.
func environment(database string) []string {
	env := os.Environ()
	if database != "" {
		env = append(env, "MIXTRAL_DATABASE_URL="+database)
	}
	return env
}

// verifyPage finds the page that verifies reports.
func verifyPage(file string) http.Handler {
	if file == "" {
		program, err := os.Executable()
		if err != nil {
			return nil
		}
		file = filepath.Join(filepath.Dir(program), "verify.html")
		if _, err := os.Stat(file); err != nil {
			return nil
		}
	}
	return verifypage.Handler(file)
}

const (
	consoleConnections = 256
	consoleShutdown    = 3 * time.Second
)

// consoleServer is a listening console.
type consoleServer struct {
	url    string
	http   *http.Server
	failed chan error // receives the error that ended it
	settle func(context.Context)
}

func (c *consoleCmd) open(a *app, k *console.Console) (*consoleServer, error) {
	if err := checkPair(c.TLSCert, c.TLSKey); err != nil {
		return nil, err
	}
	l, err := listen(a.ctx, cmp.Or(c.flag, "listen"), c.Listen)
	if err != nil {
		return nil, err
	}
	s := &consoleServer{url: "http://" + l.Addr().String() + "/", failed: make(chan error, 1), settle: k.Settle}
	log := slog.New(slog.NewTextHandler(a.stderr, nil))
	s.http = &http.Server{Handler: k, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	serve := s.http.Serve
	if c.TLSCert != "" {
		certificate, err := access.LoadCertificate(c.TLSCert, c.TLSKey, log)
		if err != nil {
			return nil, usageError(errors.Join(err, l.Close()))
		}
		s.url = "https" + strings.TrimPrefix(s.url, "http")
		s.http.TLSConfig = certificate.TLSConfig()
		serve = func(l net.Listener) error { return s.http.ServeTLS(l, "", "") }
	}
	go func() {
		if err := serve(access.LimitListener(l, consoleConnections, log, nil)); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- err
		}
	}()
	return s, nil
}

// close closes the console: first the streams that browsers follow, then their connections.
func (s *consoleServer) close(k *console.Console) error {
	err := k.Close()
	ctx, cancel := context.WithTimeout(context.Background(), consoleShutdown)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close() // a browser kept its connection open
	}
	return err
}

// consoleFlag is the address at which certify --console shows its run; without a value it means a free port.
type consoleFlag string

// Decode reads the address after --console if there is one.
func (f *consoleFlag) Decode(ctx *kong.DecodeContext) error {
	*f = "127.0.0.1:0"
	next := ctx.Scan.Peek()
	word, _ := next.Value.(string)
	if next.Type != kong.FlagValueToken {
		if next.Type == kong.FlagToken || next.Type == kong.ShortFlagToken {
			return nil
		}
		if _, _, err := net.SplitHostPort(word); err != nil {
			return nil // the next word is the case
		}
	}
	switch word = fmt.Sprint(ctx.Scan.Pop().Value); word {
	case "true":
	case "false":
		*f = ""
	default:
		*f = consoleFlag(word)
	}
	return nil
}

// IsBool allows the flag without a value.
func (*consoleFlag) IsBool() bool { return true }

var _ kong.BoolMapperValue = (*consoleFlag)(nil)

// settleWithin is how long a run that has ended waits for its browsers to show the verdict.
const settleWithin = 5 * time.Second

// watch shows the run of this process in a browser. The function that it returns ends that after the browsers have
// shown the verdict.
func (c certifyCmd) watch(a *app, o *certify.Options) (end func(), err error) {
	if c.Console == "" {
		return func() {}, nil
	}
	host, err := hostOf("console", string(c.Console))
	if err != nil {
		return nil, err
	}
	if !service.Loopback(host) {
		return nil, usageError(withHint(fmt.Errorf("--console: other machines reach %s", string(c.Console)),
			"mixtral console --listen ADDRESS --key-file FILE shows runs to other machines, also while they go on"))
	}
	var path atomic.Value
	told := o.Progress
	o.Progress = func(e certify.Event) {
		if e.Kind == certify.EventRecord {
			path.Store(e.Text)
		}
		told(e)
	}
	k := console.New(console.Config{Database: c.Database, Dir: cmp.Or(c.ReportDir, "reports"),
		Version: versionString(),
		Host:    access.Hosts{strings.Trim(host, "[]")}.Check, Verify: verifyPage(""),
		Current: func() string { p, _ := path.Load().(string); return p }})
	s, err := (&consoleCmd{Listen: string(c.Console), flag: "console"}).open(a, k)
	if err != nil {
		return nil, errors.Join(err, k.Close())
	}
	fmt.Fprintf(a.stderr, "console: %slive/current\n", s.url)
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), settleWithin)
		defer cancel()
		k.Settle(ctx)
		_ = s.close(k) // the verdict matters more
	}, nil
}
