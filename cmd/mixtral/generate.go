package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// generatorPort is the default port of generators.
const generatorPort = "11410"

// generateCmd generates load for runs that another machine coordinates.
type generateCmd struct {
	Listen      string   `default:"127.0.0.1:11410" placeholder:"ADDRESS:PORT" help:"Address to listen on for a coordinator; default: ${default}. An address that other machines can reach needs --key-file."`
	KeyFile     string   `type:"existingfile" placeholder:"FILE" help:"File that holds the key that generators and coordinator share, of 16 characters or more."`
	TLSCert     string   `name:"tls-cert-file" type:"existingfile" placeholder:"FILE" help:"PEM certificate of the listener; default: a new self-signed one. Then the key alone proves who is who."`
	TLSKey      string   `name:"tls-key-file" type:"existingfile" placeholder:"FILE" help:"PEM key of the certificate."`
	AllowTarget []string `sep:"none" placeholder:"TARGET" help:"The only server that load and its traces may be sent to: HOST, HOST:PORT, or the beginning of a URL; repeatable. Default: any."`
	RecordDir   string   `placeholder:"DIR" help:"Directory for this generator's own record, which mixtral report merge reads; default: no record is kept."`
	Once        bool     `help:"Exit after the first run."`
}

// Help returns the text below the flags.
func (generateCmd) Help() string {
	return "The coordinator is mixtral certify --generators; see docs/CERTIFIER.md. The connection is always " +
		"encrypted. A generator takes part in one run at a time. Load goes to the target of the run and nowhere " +
		"else, and stops when the coordinator does."
}

func (c generateCmd) Run(a *app) error {
	key, err := generatorKey(c.KeyFile)
	if err != nil {
		return err
	}
	o := certify.GenerateOptions{Key: key, AllowTargets: c.AllowTarget, RecordDir: c.RecordDir,
		Version: versionString(), Once: c.Once,
		Note: func(s string) { fmt.Fprintf(a.stderr, "mixtral: %s\n", s) }}
	if err := checkPair(c.TLSCert, c.TLSKey); err != nil {
		return err
	}
	if c.TLSCert != "" {
		pair, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
		if err != nil {
			return usageError(fmt.Errorf("--tls-cert-file: %w", err))
		}
		o.Certificate = &pair
	}
	l, err := listen(a.ctx, "listen", c.Listen)
	if err != nil {
		return err
	}
	defer l.Close()
	fmt.Fprintf(a.stderr, "mixtral: a generator listens on %s\n", l.Addr())
	err = certify.Generate(a.ctx, l, o)
	switch {
	case errors.Is(err, certify.ErrOpenToAll):
		return usageError(withHint(err, "--key-file FILE with the same key on all machines; "+
			"head -c 24 /dev/urandom | base64 makes one"))
	case errors.Is(err, certify.ErrOptions):
		return usageError(err)
	}
	return err
}

// generatorKey reads a shared key.
func generatorKey(file string) ([]byte, error) {
	if file == "" {
		return nil, nil
	}
	data, err := bounded.File(file, 64<<10)
	if err != nil {
		return nil, usageError(err)
	}
	key := bytes.TrimSpace(data)
	if len(key) == 0 {
		return nil, usageError(fmt.Errorf("%s: the key is empty", file))
	}
	return key, nil
}

// generatorFlags are certify's flags for a load that other machines generate.
type generatorFlags struct {
	Generators       string        `placeholder:"HOST:PORT,…" help:"Machines that make the load, each running mixtral generate; dns+HOST:PORT stands for every address of HOST. With a number, Kubernetes manifests for as many generators are printed, and nothing is run."`
	GeneratorKeyFile string        `name:"generators-key-file" type:"existingfile" placeholder:"FILE" help:"File that holds the key that generators and coordinator share, of 16 characters or more."`
	GeneratorsCA     string        `name:"generators-ca-file" type:"existingfile" placeholder:"FILE" help:"PEM certificates of the authority that signed those of the generators; default: none. Then the key alone proves who is who."`
	GeneratorsWait   time.Duration `range:"0s..24h" default:"0s" placeholder:"TIME" help:"How long to wait for generators that do not listen yet; default: ${default}."`
}

// options adds the generators to a run's options.
func (f generatorFlags) options(ctx context.Context, o *certify.Options) error {
	if f.Generators == "" {
		if f.GeneratorKeyFile+f.GeneratorsCA != "" {
			return usageError(errors.New("--generators-key-file and --generators-ca-file: --generators is missing"))
		}
		return nil
	}
	var err error
	if o.GeneratorsKey, err = generatorKey(f.GeneratorKeyFile); err != nil {
		return err
	}
	if f.GeneratorsCA != "" {
		data, err := bounded.File(f.GeneratorsCA, 1<<20)
		if err != nil {
			return usageError(err)
		}
		if o.GeneratorsRoots = x509.NewCertPool(); !o.GeneratorsRoots.AppendCertsFromPEM(data) {
			return usageError(fmt.Errorf("--generators-ca-file %s: holds no PEM certificate", f.GeneratorsCA))
		}
	}
	o.GeneratorsWait = f.GeneratorsWait
	for part := range strings.SplitSeq(f.Generators, ",") {
		addresses, err := generatorAddresses(ctx, strings.TrimSpace(part))
		if err != nil {
			return err
		}
		o.Generators = append(o.Generators, addresses...)
	}
	return nil
}

// generatorAddresses returns an address, or looks up the addresses of a name.
func generatorAddresses(ctx context.Context, address string) ([]string, error) {
	name, lookUp := strings.CutPrefix(address, "dns+")
	host, port, err := net.SplitHostPort(name)
	if err != nil {
		host, port = strings.Trim(name, "[]"), generatorPort
	}
	if host == "" {
		return nil, usageError(fmt.Errorf("--generators: %q must be HOST:PORT or HOST", address))
	}
	if !lookUp {
		return []string{net.JoinHostPort(host, port)}, nil
	}
	found, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return nil, setupError(fmt.Errorf("--generators: %w", err))
	}
	if len(found) > evidence.MaxGenerators {
		return nil, usageError(fmt.Errorf("--generators: %s has %d addresses, at most %d", host, len(found),
			evidence.MaxGenerators))
	}
	var out []string
	for _, ip := range found {
		out = append(out, net.JoinHostPort(ip, port))
	}
	return out, nil
}
