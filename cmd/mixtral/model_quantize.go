package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/host"
	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/catalog"
	"github.com/hxp-enterprise/mixtral/internal/model/convert"
)

// modelQuantizeCmd converts a model to another format.
type modelQuantizeCmd struct {
	In         string `arg:"" type:"path" help:"A Hugging Face directory (config.json, *.safetensors, tokenizer.model or tokenizer.json), a .gguf file, or a directory with a .gguf file."`
	Type       string `required:"" placeholder:"TYPE" help:"Format: f32, f16, bf16, q8_0, q6_k, q5_1, q5_k_m, q5_k_s, q5_0, q4_1, q4_k_m, q4_k_s, q4_0, iq4_nl, iq4_xs, q3_k_l, q3_k_m, q3_k_s, q2_k or q2_k_s; q4_k means q4_k_m, and so on. keep leaves formats unchanged, and only joins the parts of a split model or stacks its experts."`
	Out        string `required:"" type:"path" placeholder:"FILE" help:"File to write. If it is interrupted, the same command continues."`
	Pure       bool   `help:"Give every matrix the same format. Without it, important matrices get more bits."`
	Imatrix    string `type:"path" placeholder:"FILE" help:"Importance matrix (.gguf or .dat) of model imatrix or of llama.cpp's imatrix tool; important columns then lose less precision."`
	Requantize bool   `help:"Also convert weights of fewer than 8 bits, which then lose precision a second time."`
	Threads    int    `range:"0..4096" placeholder:"N" help:"Number of threads; default: one for each CPU."`
	Force      bool   `help:"Replace the file if it exists."`
	JSON       bool   `help:"Print JSON."`
}

// quantized is what quantize --json prints.
type quantized struct {
	Model   string            `json:"model"`
	Path    string            `json:"path"`
	Type    string            `json:"type"`
	Bytes   int64             `json:"bytes"`
	Params  int64             `json:"params"`
	Seconds float64           `json:"seconds"`
	Resumed int64             `json:"resumed_params"` // finished by an earlier run
	Tensors []quantizedTensor `json:"tensors"`
}

type quantizedTensor struct {
	Name     string  `json:"name"`
	From     string  `json:"from"`
	To       string  `json:"to"`
	Params   int64   `json:"params"`
	Bytes    int64   `json:"bytes"`
	RMSE     float64 `json:"rmse"`
	Relative float64 `json:"relative"` // the error's norm relative to the weights' norm
	Max      float64 `json:"max"`
}

func (c *modelQuantizeCmd) Run(a *app) error {
	o, err := c.options()
	if err != nil {
		return usageError(err)
	}
	convert.Sweep(c.Out)
	if _, err := os.Stat(c.Out); err == nil && !c.Force {
		return usageError(withHint(fmt.Errorf("--out: %s: %w", c.Out, fs.ErrExist), "--force replaces it"))
	}
	in, err := catalog.Locate(c.In)
	if err != nil {
		return usageError(withCatalogHint(err))
	}
	source, err := convert.Open(in)
	if err == nil {
		err = computable(in)
	}
	if err != nil {
		var refused *convert.UnsupportedError
		if errors.As(err, &refused) {
			err = withHint(err, refused.Hint)
		}
		return usageError(err)
	}
	start := time.Now()
	result, err := c.convert(a, source, o)
	if err = errors.Join(err, source.Close()); err != nil {
		return quantizeError(err)
	}
	return c.report(a.stdout, source.Name, o.Mix.Name, result, time.Since(start))
}

// computable refuses a GGUF file with settings that no command of this program supports, since the converted file
// would have them too. A directory's configuration is checked when it is read.
func computable(path string) error {
	if info, err := os.Stat(path); err != nil || info.IsDir() {
		return err
	}
	f, err := gguf.Open(path)
	if err != nil {
		return err
	}
	_, err = moe.Describe(f)
	return errors.Join(err, f.Close())
}

// options reads the flags that name a format or a file.
func (c *modelQuantizeCmd) options() (convert.Options, error) {
	o := convert.Options{Requantize: c.Requantize, Workers: c.Threads}
	var err error
	if o.Mix, err = convert.ParseMix(c.Type); err != nil {
		return o, fmt.Errorf("--type: %w", err)
	}
	o.Mix.Pure = c.Pure
	if c.Imatrix != "" {
		if o.Importance, err = convert.ReadImportance(c.Imatrix); err != nil {
			return o, fmt.Errorf("--imatrix: %w", err)
		}
	}
	return o, nil
}

// convert checks the disk and does the work.
func (c *modelQuantizeCmd) convert(a *app, source *convert.Source, o convert.Options) (convert.Result, error) {
	total, err := convert.Size(source, o)
	if err != nil {
		return convert.Result{}, err
	}
	if err := c.room(total); err != nil {
		return convert.Result{}, err
	}
	if o.Importance != nil {
		gaps, err := o.Importance.Gaps(source)
		if err != nil {
			return convert.Result{}, err
		}
		warnGaps(a.stderr, "the importance matrix has no entry for it: all its columns count the same", gaps)
	}
	bar := newProgress(a.stderr, "quantize "+filepath.Base(c.Out), total)
	defer bar.stop()
	o.Progress = func(p convert.Progress) {
		share := float64(total) / float64(max(p.Total, 1)) // elements, as bytes of the new file
		bar.resume(int64(float64(p.Resumed) * share))
		bar.set(int64(float64(p.Done) * share))
	}
	return convert.Run(a.ctx, source, c.Out, o)
}

// room checks that the disk has room for the file before hours are spent on it. The size of a partial file is not
// counted again.
func (c *modelQuantizeCmd) room(total int64) error {
	free, err := host.DiskFree(filepath.Dir(c.Out))
	if err != nil {
		return nil // the file system does not say
	}
	if info, err := os.Stat(c.Out + ".part"); err == nil && info.Size() == total {
		return nil
	}
	if total > free {
		return fmt.Errorf("%w %s: %s are needed, %s are free", convert.ErrOutput, c.Out, size(total), size(free))
	}
	return nil
}

// quantizeError gives an error its exit code and a hint.
func quantizeError(err error) error {
	switch {
	case errors.Is(err, convert.ErrOutput):
		return setupError(err)
	case errors.Is(err, convert.ErrRequantize):
		return usageError(withHint(err, "start from the original weights, or accept the loss with --requantize"))
	case errors.Is(err, quant.ErrNotFinite):
		return usageError(withHint(err,
			"the file or the model itself is damaged: download it again and compare checksums"))
	case errors.Is(err, convert.ErrSource), errors.Is(err, convert.ErrImportance):
		return usageError(err)
	}
	return err
}

func (c *modelQuantizeCmd) report(w io.Writer, name, typ string, r convert.Result, took time.Duration) error {
	q := quantized{Model: name, Path: c.Out, Type: typ, Bytes: r.Bytes, Seconds: took.Seconds(), Resumed: r.Resumed}
	var whole convert.Errors
	for _, t := range r.Tensors {
		q.Params += t.Elems
		whole = whole.Add(t.Errors)
		q.Tensors = append(q.Tensors, quantizedTensor{t.Name, t.From.String(), t.To.String(), t.Elems, t.Bytes,
			t.RMSE(t.Elems), t.Relative(), t.Max})
	}
	if c.JSON {
		return printJSON(w, q)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "tensor\tfrom\tto\tsize\tRMSE\trelative\tlargest")
	for _, x := range q.Tensors {
		errs := "exact"
		if x.RMSE > 0 {
			errs = fmt.Sprintf("%.3g\t%.3f %%\t%.3g", x.RMSE, 100*x.Relative, x.Max)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", x.Name, x.From, x.To, size(x.Bytes), errs)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%s: %s, %s parameters in %s, %.2f bits each, relative error %.3f %%, %.1f s\n",
		q.Path, size(q.Bytes), count(q.Params), typ, 8*float64(q.Bytes)/float64(max(q.Params, 1)),
		100*whole.Relative(), q.Seconds)
	return err
}
