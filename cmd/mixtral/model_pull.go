package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/model/catalog"
	"github.com/hxp-enterprise/mixtral/internal/model/convert"
	"github.com/hxp-enterprise/mixtral/internal/model/hub"
)

// modelPullCmd downloads a model's files.
type modelPullCmd struct {
	Source      string  `arg:"" help:"A name that mixtral model list shows, hf://owner/repo[/file][@revision], or the https URL of a file."`
	Out         string  `placeholder:"DIR" help:"Directory for the files; default: models/OWNER/REPO in the user's data directory."`
	Endpoint    string  `env:"HF_ENDPOINT" placeholder:"URL" help:"Server to use instead of huggingface.co, with the same protocol."`
	Connections int     `range:"1..64" default:"4" placeholder:"N" help:"Number of connections at the same time; default: ${default}."`
	Attempts    int     `range:"1..1000" default:"8" placeholder:"N" help:"Number of attempts without progress before the download fails; default: ${default}. The waits between them grow."`
	Timeout     float64 `range:"0..86400" placeholder:"S" help:"Seconds for which a server may send nothing, or next to nothing; default: HF_HUB_DOWNLOAD_TIMEOUT, or 30."`
	List        bool    `help:"List the repository's files, and download nothing."`
	JSON        bool    `help:"Print JSON."`
}

// pulled is what pull --json prints for each file.
type pulled struct {
	Path   string `json:"path"`
	Bytes  int64  `json:"bytes,omitempty"`  // missing if the hub could not be reached
	SHA256 string `json:"sha256,omitempty"` // missing if the hub could not be reached
	Reused bool   `json:"reused"`
}

// pulling is one execution of the command.
type pulling struct {
	*modelPullCmd
	*app
	client  *hub.Client
	env     hub.Environment
	ref     hub.Ref
	known   catalog.Known // the model's entry in the catalogue, if it has one
	named   bool
	dir     string // for the files
	nowhere error  // why there is no directory
}

func (c modelPullCmd) Run(a *app) error {
	p, err := c.begin(a)
	if err != nil {
		return err
	}
	defer p.client.Close()
	if err := p.place(); err != nil {
		return err
	}
	files, err := p.files()
	if err != nil {
		if !c.List && (errors.Is(err, hub.ErrTransfer) || errors.Is(err, hub.ErrOffline)) {
			if paths, e := p.local(); e == nil { // a service that starts again must not depend on the hub
				return p.keep(paths, err)
			}
		}
		return pullError(err)
	}
	if c.List {
		return c.list(a, files)
	}
	done := p.cached(files)
	if done != nil {
		files = nil
	} else if p.nowhere != nil { // the files that were found belong to an older version
		return setupError(withHint(p.nowhere, outHint))
	}
	if err := hub.Room(p.dir, files); err != nil {
		return pullError(err)
	}
	for _, f := range files {
		got, err := p.fetch(f)
		if err != nil {
			return pullError(err)
		}
		done = append(done, got)
	}
	p.warn(done)
	if c.JSON {
		return json.NewEncoder(a.stdout).Encode(done)
	}
	for _, d := range done {
		fmt.Fprintf(a.stdout, "%s  %s\n", d.SHA256, d.Path)
	}
	return nil
}

const outHint = "--out names a directory for the files"

// place reports an error of the directory for the files before the hub is asked, which may take minutes. It does so
// only if files are missing.
func (p *pulling) place() error {
	if p.List {
		return nil
	}
	if _, err := p.local(); err == nil {
		return nil // perhaps nothing has to be written
	}
	if p.nowhere != nil {
		return setupError(withHint(p.nowhere, outHint))
	}
	if err := hub.Writable(p.dir); err != nil {
		return pullError(err)
	}
	return nil
}

// begin reads the flags and the environment.
func (c *modelPullCmd) begin(a *app) (*pulling, error) {
	p := &pulling{modelPullCmd: c, app: a, dir: c.Out}
	var err error
	if p.known, p.named, err = catalog.Lookup(c.Source); err != nil {
		return nil, usageError(withCatalogHint(err))
	}
	if p.ref = p.known.Ref(); !p.named {
		if p.ref, err = hub.ParseRef(c.Source); err != nil {
			return nil, usageError(withHint(err, "mixtral model list shows the names that can be pulled"))
		}
	}
	if c.Endpoint != "" {
		if err := hub.CheckEndpoint(c.Endpoint); err != nil {
			return nil, usageError(fmt.Errorf("--endpoint (HF_ENDPOINT): %w, got %q", err, c.Endpoint))
		}
	}
	if p.env, err = hub.ReadEnvironment(a.getenv); err != nil {
		return nil, usageError(err)
	}
	if p.dir == "" {
		p.dir, p.nowhere = catalog.Dir(a.getenv, p.ref)
	}
	log, err := telemetry.NewLogger(a.stderr, "info", "text") // for a minute nothing may arrive
	if err != nil {
		return nil, err
	}
	p.client = &hub.Client{Endpoint: c.Endpoint, Token: p.env.Token, Offline: p.env.Offline,
		Connections: c.Connections, Attempts: c.Attempts, Silence: p.env.Silence, Logger: log}
	if c.Timeout > 0 {
		p.client.Silence = time.Duration(c.Timeout * float64(time.Second))
	}
	return p, nil
}

// files returns the files to download.
func (p *pulling) files() ([]hub.File, error) {
	if p.ref.URL != "" {
		return hub.URLFiles(p.ref)
	}
	if _, err := p.local(); err == nil && !p.List {
		p.client.Attempts = min(p.Attempts, 2) // without the hub the files on this machine can be used
		defer func() { p.client.Attempts = p.Attempts }()
	}
	all, err := p.client.List(p.ctx, p.ref)
	switch {
	case err != nil, p.List:
		return all, err
	case p.named && p.known.File != "":
		return p.known.Choose(all)
	}
	return p.client.Choose(p.ctx, p.ref, all)
}

// local finds the files on this machine.
func (p *pulling) local() ([]string, error) {
	if p.named && p.known.File != "" && p.Out == "" {
		if path, ok := p.known.Find(p.getenv); ok {
			return []string{path}, nil
		}
		return nil, hub.ErrNotFound
	}
	if p.ref.URL != "" {
		return nil, hub.ErrNotFound // a file with the same name may have another content
	}
	cache := p.env.Cache
	if p.Out != "" {
		cache = ""
	}
	return hub.Local(cache, p.dir, p.ref)
}

// keep uses the files on this machine while the hub cannot be reached.
func (p *pulling) keep(paths []string, why error) error {
	fmt.Fprintf(p.stderr, "mixtral: %v; using the files that are on this machine, unchecked\n", why)
	var done []pulled
	for _, path := range paths {
		done = append(done, pulled{Path: path, Reused: true})
	}
	if p.JSON {
		return json.NewEncoder(p.stdout).Encode(done)
	}
	_, err := fmt.Fprintln(p.stdout, strings.Join(paths, "\n"))
	return err
}

func (c modelPullCmd) list(a *app, files []hub.File) error {
	if c.JSON {
		return json.NewEncoder(a.stdout).Encode(files)
	}
	for _, f := range files {
		fmt.Fprintf(a.stdout, "%10s  %s\n", size(f.Size), f.Path)
	}
	return nil
}

// cached finds the files in the cache of Hugging Face's own tools. It needs all of them, since a model in safetensors
// is a directory.
func (p *pulling) cached(files []hub.File) (all []pulled) {
	if p.Out != "" {
		return nil
	}
	for _, f := range files {
		path, ok := p.client.CachedAs(p.ctx, p.env.Cache, p.ref, f)
		if !ok {
			return nil
		}
		all = append(all, pulled{Path: path, Bytes: f.Size, SHA256: f.SHA256, Reused: true})
	}
	return all
}

// fetch downloads one file.
func (p *pulling) fetch(f hub.File) (pulled, error) {
	var mu sync.Mutex // connections report at the same time
	var bar *progress
	stage := ""
	p.client.Progress = func(n hub.Progress) {
		mu.Lock()
		defer mu.Unlock()
		if n.Stage != stage {
			if bar != nil {
				bar.stop()
			}
			stage, bar = n.Stage, newProgress(p.stderr, n.Stage+" "+path.Base(f.Path), n.Total)
		}
		bar.resume(n.Resumed)
		bar.set(n.Done)
	}
	defer func() {
		if bar != nil {
			bar.stop()
		}
	}()
	one := p.ref
	if one.URL == "" {
		one.File = f.Path
	} else if f.URL != "" {
		one.URL = f.URL
	}
	res, err := p.client.Fetch(p.ctx, one, f, filepath.Join(p.dir, filepath.FromSlash(f.Path)))
	return pulled{Path: res.Path, Bytes: res.Size, SHA256: res.SHA256, Reused: res.Reused}, err
}

// warn warns of weights that the embedded engine will refuse; other servers may support them.
func (p *pulling) warn(files []pulled) {
	for _, f := range files {
		if filepath.Base(f.Path) != "config.json" {
			continue
		}
		if err := convert.Refused(filepath.Dir(f.Path)); err != nil {
			fmt.Fprintf(p.stderr, "mixtral: warning: the embedded engine does not read this model: %v\n", err)
		}
	}
}

// pullError gives a transfer's error its exit code and a hint.
func pullError(err error) error {
	hint := ""
	switch {
	case errors.Is(err, hub.ErrDenied):
		hint = "accept the model's terms on the hub and set HF_TOKEN to a token that may read it"
	case errors.Is(err, hub.ErrOffline):
		hint = "unset HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE) to ask the hub"
	case errors.Is(err, hub.ErrNotFound):
		hint = "check the name; a private repository also needs HF_TOKEN"
	case errors.Is(err, hub.ErrChoice):
		hint = "add the file to the name, as in hf://owner/repo/file.gguf"
	case errors.Is(err, hub.ErrChecksum):
		hint = "do not use the file: it was changed in its repository or on the way to this machine"
	case errors.Is(err, hub.ErrChanged):
		hint = "run the same command again: the file was replaced in its repository meanwhile"
	case errors.Is(err, hub.ErrSpace):
		hint = "free some space, or choose another directory with --out"
	case errors.Is(err, hub.ErrWrite), errors.Is(err, os.ErrPermission):
		hint = "choose another directory with --out"
	case errors.Is(err, hub.ErrAnswer):
		hint = "check the address: what answers there is no hub, or is out of order"
	case errors.Is(err, hub.ErrTransfer):
		hint = "run the same command again: it continues where it stopped"
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	if hint != "" {
		err = withHint(err, hint)
	}
	return setupError(err)
}
