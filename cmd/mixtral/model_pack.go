package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/host"
	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
	"github.com/hxp-enterprise/mixtral/internal/model/catalog"
)

// modelPackCmd writes a model's file in the order that the kernels read, or converts it back.
type modelPackCmd struct {
	Model   string `arg:"" help:"Path of a .gguf file or of a model's directory, or a name that model list shows."`
	Out     string `arg:"" type:"path" help:"File to write."`
	Undo    bool   `help:"Make an ordinary GGUF file from a packed one, for other programs and for model quantize."`
	Threads int    `range:"0..4096" placeholder:"N" help:"Number of threads; default: one for each CPU."`
	Force   bool   `help:"Replace the file if it exists."`
	JSON    bool   `help:"Print JSON."`
}

// packedModel is what pack --json prints.
type packedModel struct {
	Model   string  `json:"model"`
	Path    string  `json:"path"`
	Packed  bool    `json:"packed"` // false: unpacked
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
}

func (c *modelPackCmd) Run(a *app) error {
	if _, err := os.Stat(c.Out); err == nil && !c.Force {
		return usageError(withHint(fmt.Errorf("%s: %w", c.Out, fs.ErrExist), "--force replaces it"))
	}
	o, err := openModel(a, c.Model)
	if err != nil {
		return err
	}
	p, err := c.rewrite(a, o)
	if err = errors.Join(err, o.Close()); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(a.stdout, p)
	}
	return p.print(a.stdout)
}

// rewrite checks that the work makes sense and that there is room for it, and does it.
func (c *modelPackCmd) rewrite(a *app, o *catalog.Opened) (packedModel, error) {
	p := packedModel{Model: o.ID, Path: c.Out}
	r, err := moe.NewRewriting(o.File)
	if err != nil {
		return p, usageError(fmt.Errorf("model %q: %w", o.ID, err))
	}
	p.Packed, p.Bytes = r.Packs(), r.Size()
	switch {
	case p.Packed && c.Undo:
		return p, usageError(fmt.Errorf("model %q is not packed", o.ID))
	case !p.Packed && !c.Undo:
		return p, usageError(withHint(fmt.Errorf("model %q is packed already", o.ID),
			"--undo makes an ordinary file of it"))
	}
	if free, err := host.DiskFree(filepath.Dir(c.Out)); err == nil && p.Bytes > free {
		return p, setupError(fmt.Errorf("%s: %s are needed, %s are free", c.Out, size(p.Bytes), size(free)))
	}
	start := time.Now()
	bar := newProgress(a.stderr, "pack "+filepath.Base(c.Out), p.Bytes)
	defer bar.stop()
	err = catalog.WriteRewritten(a.ctx, c.Out, r, c.Threads, bar.set)
	p.Seconds = time.Since(start).Seconds()
	return p, err
}

func (p *packedModel) print(w io.Writer) error {
	what := "packed: it starts without a copy, and only this program can read it"
	if !p.Packed {
		what = "no longer packed"
	}
	_, err := fmt.Fprintf(w, "%s: %s, %s, %.1f s\n", p.Path, size(p.Bytes), what, p.Seconds)
	return err
}
