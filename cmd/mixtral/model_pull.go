package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"sync"

	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/model/catalog"
	"github.com/hxp-enterprise/mixtral/internal/model/hub"
)

// modelPullCmd downloads a model's files.
type modelPullCmd struct {
	Source      string `arg:"" help:"A name that mixtral model list shows, hf://owner/repo[/file][@revision], or the https URL of a file."`
	Out         string `help:"Directory for the files; default: models/OWNER/REPO in the user's data directory."`
	Endpoint    string `env:"HF_ENDPOINT" help:"Address of another server with the hub's protocol."`
	Connections int    `default:"4" help:"Number of connections at the same time."`
	Attempts    int    `default:"8" help:"Number of attempts without progress before the download fails; the waits between them grow."`
	List        bool   `help:"List the repository's files and stop."`
	JSON        bool   `help:"Print JSON."`
}

// pulled is what pull --json prints for each file.
type pulled struct {
	Path   string `json:"path"`
	Bytes  int64  `json:"bytes,omitempty"`  // nothing where the hub could not be asked
	SHA256 string `json:"sha256,omitempty"` // likewise
	Reused bool   `json:"reused"`
}

func (c modelPullCmd) Run(a *app) error {
	known, isName, err := catalog.Lookup(c.Source)
	if err != nil {
		return usageError(withCatalogHint(err))
	}
	ref := known.Ref()
	if !isName {
		if ref, err = hub.ParseRef(c.Source); err != nil {
			return usageError(withHint(err, "mixtral model list shows the names that can be pulled"))
		}
	}
	log, err := telemetry.NewLogger(a.stderr, "info", "text") // a minute may pass in which nothing comes
	if err != nil {
		return err
	}
	client := &hub.Client{Endpoint: c.Endpoint, Token: a.getenv("HF_TOKEN"), Connections: c.Connections,
		Attempts: c.Attempts, Logger: log}
	files, err := c.files(a, client, ref, isName)
	if err == nil && isName && !c.List {
		files, err = known.Choose(files)
	}
	if errors.Is(err, hub.ErrTransfer) && !c.List && c.Out == "" {
		if p, ok := known.Find(a.getenv); ok { // a service that starts again must not depend on the hub
			return c.keep(a, p, err)
		}
	}
	if err != nil {
		return pullError(err)
	}
	if c.List {
		return c.list(a, files)
	}
	dir := c.Out
	if dir == "" {
		if dir, err = catalog.Dir(a.getenv, ref); err != nil {
			return setupError(err)
		}
	}
	var done []pulled
	for _, f := range files {
		p, err := c.fetch(a, client, ref, f, dir)
		if err != nil {
			return pullError(err)
		}
		done = append(done, p)
	}
	if c.JSON {
		return json.NewEncoder(a.stdout).Encode(done)
	}
	for _, p := range done {
		fmt.Fprintf(a.stdout, "%s  %s\n", p.SHA256, p.Path)
	}
	return nil
}

// keep makes do with what is here while the hub cannot be asked.
func (c modelPullCmd) keep(a *app, path string, why error) error {
	fmt.Fprintf(a.stderr, "mixtral: %v; using the file that was pulled before, unchecked\n", why)
	if c.JSON {
		return json.NewEncoder(a.stdout).Encode([]pulled{{Path: path, Reused: true}})
	}
	_, err := fmt.Fprintln(a.stdout, path)
	return err
}

// files finds out what to download; of a repository that the catalogue named, all there is.
func (c modelPullCmd) files(a *app, client *hub.Client, ref hub.Ref, named bool) ([]hub.File, error) {
	if ref.URL != "" {
		u, err := url.Parse(ref.URL)
		if err != nil {
			return nil, err
		}
		return []hub.File{{Path: path.Base(u.Path)}}, nil
	}
	all, err := client.List(a.ctx, ref)
	switch {
	case err != nil:
		return nil, err
	case c.List, ref.File == "" && named:
		return all, nil
	case ref.File == "":
		return hub.Choose(all)
	}
	for _, f := range all {
		if f.Path == ref.File {
			return []hub.File{f}, nil
		}
	}
	return nil, fmt.Errorf("%w: %s", hub.ErrNotFound, ref)
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

// fetch brings one file, or finds it in the hub's own cache.
func (c modelPullCmd) fetch(a *app, client *hub.Client, ref hub.Ref, f hub.File, dir string) (pulled, error) {
	if p, ok := hub.Cached(hub.CacheRoot(a.getenv), ref, f.Path); ok && c.Out == "" {
		return pulled{Path: p, Bytes: f.Size, SHA256: f.SHA256, Reused: true}, nil
	}
	var mu sync.Mutex // connections report side by side
	var bar *progress
	stage := ""
	client.Progress = func(p hub.Progress) {
		mu.Lock()
		defer mu.Unlock()
		if p.Stage != stage {
			if bar != nil {
				bar.stop()
			}
			stage, bar = p.Stage, newProgress(a.stderr, p.Stage+" "+path.Base(f.Path), p.Total)
		}
		bar.set(p.Done)
	}
	defer func() {
		if bar != nil {
			bar.stop()
		}
	}()
	one := ref
	one.File = f.Path
	if ref.URL != "" {
		one = ref
	}
	res, err := client.Fetch(a.ctx, one, f, filepath.Join(dir, filepath.FromSlash(f.Path)))
	return pulled{Path: res.Path, Bytes: res.Size, SHA256: res.SHA256, Reused: res.Reused}, err
}

// pullError gives a transfer's error its exit code and a hint.
func pullError(err error) error {
	hint := ""
	switch {
	case errors.Is(err, hub.ErrDenied):
		hint = "accept the model's terms on the hub and set HF_TOKEN to a token that may read it"
	case errors.Is(err, hub.ErrNotFound):
		hint = "check the name; a private repository also needs HF_TOKEN"
	case errors.Is(err, hub.ErrChoice):
		hint = "add the file to the name, as in hf://owner/repo/file.gguf"
	case errors.Is(err, hub.ErrChecksum):
		hint = "do not use the file: it was changed in its repository or on the way to this machine"
	case errors.Is(err, hub.ErrSpace):
		hint = "free some space, or choose another directory with --out"
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
