package catalog

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/filelock"
	"github.com/hxp-enterprise/mixtral/internal/base/host"
	"github.com/hxp-enterprise/mixtral/internal/base/wait"
	"github.com/hxp-enterprise/mixtral/internal/infer/engine"
	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/convert"
)

// Automatic are the types that a model in safetensors may be converted to without being asked, widest first. Wider
// ones than q8_0 lose nothing that shows in answers, and take twice as long for each token.
func Automatic() []string {
	return []string{"q8_0", "q6_k", "q5_k_m", "q4_k_m", "q3_k_m", "q2_k"}
}

// conversion is a directory of safetensors as a GGUF file in the cache.
type conversion struct {
	Options
	source *convert.Source
	dir    string // full path
	name   string
	mix    convert.Mix
	size   int64  // of the GGUF file
	record string // path of the sources' record
	begun  bool
	sources
}

// openConverted opens what a directory of safetensors was converted to, and converts it if need be.
func openConverted(ctx context.Context, dir, name string, o Options) (*Opened, error) {
	c, err := newConversion(dir, name, o)
	if err != nil {
		return nil, err
	}
	defer c.source.Close()
	for again := false; ; again = true {
		path, err := c.make(ctx)
		if err != nil {
			return nil, convertError(err)
		}
		opened, err := openFile(path)
		if err == nil {
			opened.ID, opened.From, opened.Sources = name, dir, c.digests()
			return opened, nil
		}
		if again {
			return nil, err
		}
		o.say("%s is damaged: converting again", path) // what makes such files is the disk, not a kill
		os.Remove(path)
	}
}

// openSketch opens what a directory of safetensors would be converted to, without its weights.
func openSketch(dir, name string, o Options) (opened *Opened, err error) {
	s, err := convert.Open(dir)
	if err != nil {
		return nil, convertError(err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	s.Name = name
	mix, _, err := choose(s, &o)
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp("", "mixtral-*.gguf")
	if err != nil {
		return nil, &Error{Err: unusable{err}, Hint: "set TMPDIR to a directory that can be written to"}
	}
	defer os.Remove(f.Name()) // the mapping keeps it
	if err := errors.Join(convert.Sketch(s, f, convert.Options{Mix: mix}), f.Close()); err != nil {
		return nil, convertError(err)
	}
	if opened, err = openFile(f.Name()); err != nil {
		return nil, err
	}
	opened.ID, opened.From, opened.Path = name, dir, ""
	return opened, nil
}

// newConversion opens the source and decides what to make of it.
func newConversion(dir, name string, o Options) (c *conversion, err error) {
	c = &conversion{Options: o, name: name}
	if c.dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	if c.source, err = convert.Open(dir); err != nil {
		return nil, convertError(err)
	}
	source := c.source
	defer func() {
		if err != nil {
			err = errors.Join(err, source.Close())
		}
	}()
	c.source.Name = name
	if c.mix, c.size, err = choose(c.source, &c.Options); err != nil {
		return nil, err
	}
	cache, err := o.cacheDir()
	if err != nil {
		return nil, err
	}
	c.record = filepath.Join(cache, fmt.Sprintf("sources-%.8x.json", sha256.Sum256([]byte(c.dir))))
	return c, nil
}

// cacheDir makes the directory of converted models.
func (o *Options) cacheDir() (string, error) {
	dir, err := o.cacheIn("converted")
	if err != nil {
		return "", &Error{Err: unusable{fmt.Errorf("no directory can keep the converted model: %w", err)},
			Hint: cacheHint}
	}
	return dir, nil
}

// cachePath names a directory in the cache directory.
func (o *Options) cachePath(name string) (string, error) {
	dir := o.CacheDir
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(user, "mixtral")
	}
	return filepath.Join(dir, name), nil
}

// cacheIn makes a directory in the cache directory.
func (o *Options) cacheIn(name string) (string, error) {
	dir, err := o.cachePath(name)
	if err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o755)
}

const cacheHint = "set cache_dir (MIXTRAL_CACHE_DIR) to a directory that can be written to"

// choose picks the type, and says how large the file will be.
func choose(s *convert.Source, o *Options) (convert.Mix, int64, error) {
	size := func(name string) (convert.Mix, int64, error) {
		mix, err := convert.ParseMix(name)
		if err != nil {
			return mix, 0, &Error{Err: unusable{fmt.Errorf("quantize_to: %w", err)}}
		}
		n, err := convert.Size(s, convert.Options{Mix: mix})
		if err != nil {
			err = convertError(err)
		}
		return mix, n, err
	}
	if o.QuantizeTo != "" {
		return size(o.QuantizeTo)
	}
	limit, bound := o.limit()
	var need int64
	for _, name := range Automatic() {
		mix, n, err := size(name)
		if err != nil {
			return mix, 0, err
		}
		if need = footprint(s, n, o); limit <= 0 || need <= limit {
			o.why = fmt.Sprintf(": %.2f GiB with one context, of %.2f GiB that %s allows",
				gib(need), gib(limit), bound)
			return mix, n, nil
		}
		if o.Describe && name == Automatic()[len(Automatic())-1] {
			return mix, n, nil // that it does not fit is part of the description
		}
	}
	return convert.Mix{}, 0, &Error{Err: unusable{fmt.Errorf("no type of the model fits: %s with one context takes "+
		"%.2f GiB, and %s allows %.2f GiB", Automatic()[len(Automatic())-1], gib(need), bound, gib(limit))},
		Hint: "raise the limit, or lower context_length"}
}

func gib(n int64) float64 { return float64(n) / (1 << 30) }

// footprint is what serving a file of so many bytes takes, as the service will count: packed weights are as large as
// their file, but for a few per cent.
func footprint(s *convert.Source, bytes int64, o *Options) int64 {
	layers, heads, size := s.Keys()
	info := moe.Info{Config: moe.Config{Layers: layers, KVHeads: heads, HeadDim: size}, Packed: bytes + bytes/50}
	return engine.FootprintOf(info, o.KVType, cmp.Or(o.Context, s.Context)).Need(1)
}

var unsafeName = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// make gives the path of the converted model, which is whole.
func (c *conversion) make(ctx context.Context) (string, error) {
	filelock.Clear(c.record + ".lock") // of a process that was killed
	c.sources = *readSources(c.record, c.dir)
	changed, err := c.update(ctx, c.source.Files, func(done, total int64) {
		c.report(Progress{Stage: "check " + c.name, Done: done, Total: total})
	})
	if err != nil {
		return "", err
	}
	key := c.key(c.mix.Name)
	file := fmt.Sprintf("%s-%s-%s.gguf", unsafeName.ReplaceAllString(c.name, "_"), c.mix.Name, key[:16])
	path := filepath.Join(filepath.Dir(c.record), file)
	if old := c.Made[c.mix.Name]; old != file {
		if old != "" {
			c.forget(old)
		}
		c.Made[c.mix.Name], changed = file, true
	}
	if changed { // before the conversion, so that a killed one need not read the sources again
		if err := c.write(ctx, c.record); err != nil {
			return "", err
		}
	}
	return path, c.ensure(ctx, path, key)
}

// forget deletes what was converted of content that is no longer there, or begun.
func (c *conversion) forget(file string) {
	if filepath.Base(file) != file || filepath.Ext(file) != ".gguf" { // not from this program
		return
	}
	path := filepath.Join(filepath.Dir(c.record), file)
	for _, end := range []string{"", ".part", ".part.journal"} {
		os.Remove(path + end)
	}
}

// ensure makes the file if it is not there. Another process that makes it is waited for.
func (c *conversion) ensure(ctx context.Context, path, key string) error {
	for waited := false; ; waited = true {
		if c.made(path) {
			convert.Clear(path)
			return nil
		}
		err := c.convert(ctx, path, key)
		if errors.Is(err, errMade) {
			continue
		}
		if !errors.Is(err, filelock.ErrBusy) {
			return err
		}
		if !waited {
			c.say("another process is converting the model: waiting for it")
		}
		if err := wait.For(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

// made says whether the converted model is there, whole.
func (c *conversion) made(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Size() == c.size
}

// errMade ends a conversion of what another process has converted meanwhile.
var errMade = errors.New("another process has converted the model")

// convert makes the file. Its error matches errMade where the file is there by the time that nobody else can write it,
// and filelock.ErrBusy while another process writes it.
func (c *conversion) convert(ctx context.Context, path, key string) error {
	o := convert.Options{Mix: c.mix, Workers: c.Workers, Identity: key,
		Begin:  func() error { return c.begin(path) },
		Before: func() error { return c.unchanged(c.source.Files) },
		Progress: func(p convert.Progress) {
			share := float64(c.size) / float64(max(p.Total, 1)) // elements as bytes of the new file
			c.report(Progress{Stage: "convert " + c.name, Done: int64(float64(p.Done) * share), Total: c.size,
				Resumed: int64(float64(p.Resumed) * share)})
		}}
	_, err := convert.Run(ctx, c.source, path, o)
	if errors.Is(err, errChanging) {
		c.forget(filepath.Base(path))
	}
	return err
}

// begin looks whether the file is still to be made and has room, now that no other process can write it.
func (c *conversion) begin(path string) error {
	if c.made(path) {
		return errMade
	}
	if free, err := host.DiskFree(filepath.Dir(path)); err == nil {
		if _, err := os.Stat(path + ".part"); errors.Is(err, fs.ErrNotExist) && free < c.size {
			return fmt.Errorf("%w: %.2f GB are needed in %s, %.2f GB are free", syscall.ENOSPC, float64(c.size)/1e9,
				filepath.Dir(path), float64(free)/1e9)
		}
	}
	if !c.begun {
		c.begun = true
		c.say("converting the model in %s to %s%s", c.dir, c.mix.Name, c.why)
	}
	return nil
}

func (c *conversion) report(p Progress) {
	if c.Progress != nil {
		c.Progress(p)
	}
}

// convertError gives an error about a directory its hint. Errors about what is there are no "no such model".
func convertError(err error) error {
	var own *Error
	if errors.As(err, &own) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	e := &Error{Err: unusable{err}}
	var refused *convert.UnsupportedError
	switch {
	case errors.As(err, &refused):
		e.Err, e.Hint = unusable{errors.New(refused.What)}, refused.Hint
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		e.Hint = "free some space, or set cache_dir to a directory on another disk; the conversion then continues"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		e.Hint = cacheHint
	case errors.Is(err, errChanging):
		e.Hint = "start again when its files are complete"
	case errors.Is(err, quant.ErrNotFinite):
		e.Hint = "the files or the model itself are damaged: download them again and compare checksums"
	case errors.Is(err, convert.ErrSource) && strings.Contains(err.Error(), "missing"):
		e.Hint = "the directory must hold all safetensors files of the model, config.json and the tokenizer"
	case errors.Is(err, convert.ErrRequantize):
		e.Hint = "start from the original weights, or leave out quantize_to"
	}
	return e
}
