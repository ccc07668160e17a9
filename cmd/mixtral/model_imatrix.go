package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
	"github.com/hxp-enterprise/mixtral/internal/base/noun"
	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
	"github.com/hxp-enterprise/mixtral/internal/model/calibrate"
	"github.com/hxp-enterprise/mixtral/internal/model/catalog"
	"github.com/hxp-enterprise/mixtral/internal/model/convert"
)

// modelImatrixCmd collects an importance matrix, or merges several.
type modelImatrixCmd struct {
	Model        string   `arg:"" optional:"" help:"Path of a .gguf file or of a model's directory, a name that model list shows, synth:tiny, synth:nano, synth:mid, or demo."`
	Text         []string `type:"path" sep:"none" placeholder:"FILE" help:"Text for the model to read; repeatable. Use about 100,000 tokens of the kind of text that the model will work on."`
	Out          string   `required:"" type:"path" placeholder:"FILE" help:"GGUF file to write. It is saved every ten chunks."`
	Context      int      `range:"4..1048576" default:"512" placeholder:"N" help:"Number of tokens in a chunk; the model reads each chunk separately; default: ${default}."`
	Chunks       int      `range:"0.." placeholder:"N" help:"Number of chunks to read; default: the whole text."`
	InFile       []string `name:"in-file" type:"path" sep:"none" placeholder:"FILE" help:"Importance matrix to add; repeatable. Without --text, the files are merged and no model is needed."`
	Output       bool     `name:"process-output" help:"Also collect statistics for output.weight."`
	ParseSpecial bool     `name:"parse-special" help:"Read <s>, </s> and similar pieces in the text as control tokens, not as characters."`
	Resume       bool     `help:"Continue where an earlier run with the same flags ended."`
	Threads      int      `range:"0..4096" placeholder:"N" help:"Number of computing threads; default: one for each CPU."`
	Force        bool     `help:"Replace the file if it exists."`
	JSON         bool     `help:"Print JSON."`
}

// imatrix is what imatrix --json prints.
type imatrix struct {
	Path            string        `json:"path"`
	Tensors         int           `json:"tensors"`
	Datasets        []string      `json:"datasets"`
	Chunks          int           `json:"chunks"` // in the file
	ChunkTokens     int           `json:"chunk_tokens"`
	Read            int           `json:"read"` // chunks that this run has read
	Perplexity      float64       `json:"perplexity,omitempty"`
	PerplexityError float64       `json:"perplexity_error,omitempty"` // standard error
	Unseen          []imatrixHole `json:"unseen"`
	Seconds         float64       `json:"seconds"`
}

// imatrixHole is a tensor with experts that no token of the text went to.
type imatrixHole struct {
	Tensor  string `json:"tensor"`
	Experts []int  `json:"experts"`
}

func (c *modelImatrixCmd) Run(a *app) error {
	if err := c.check(); err != nil {
		return usageError(err)
	}
	start := time.Now()
	r := &imatrixRun{modelImatrixCmd: c, a: a}
	if err := r.readFiles(); err != nil {
		return imatrixError(err)
	}
	if len(c.Text) > 0 {
		if err := r.collect(); err != nil {
			return imatrixError(err)
		}
	} else if err := r.base.WriteFile(c.Out); err != nil {
		return imatrixError(err)
	}
	return r.report(time.Since(start))
}

// check refuses combinations of flags without a meaning.
func (c *modelImatrixCmd) check() error {
	const more = "any text file will do for a trial; for good results use about 100,000 tokens of the kind of text " +
		"that the model is for: --text FILE"
	_, err := os.Stat(c.Out)
	switch {
	case len(c.Text) == 0 && len(c.InFile) == 0:
		return withHint(errors.New("--text: must be given, or --in-file to merge files"), more)
	case len(c.Text) == 0 && (c.Model != "" || c.Resume):
		return withHint(errors.New("--text: must be given to use a model or --resume; without it files are "+
			"merged, which needs neither a model nor --resume"), more)
	case len(c.Text) > 0 && c.Model == "":
		return errors.New("model: must be given to read the text of --text")
	case err == nil && !c.Force && !c.Resume:
		return withHint(fmt.Errorf("--out: %s: %w", c.Out, fs.ErrExist),
			"--resume continues it, --force replaces it")
	}
	return nil
}

// imatrixError gives an error its exit code.
func imatrixError(err error) error {
	switch {
	case errors.Is(err, convert.ErrOutput):
		return setupError(err)
	case errors.Is(err, convert.ErrImportance), errors.Is(err, fs.ErrNotExist), errors.Is(err, calibrate.ErrNotFinite):
		return usageError(err)
	}
	return err
}

// imatrixRun is one execution of the command.
type imatrixRun struct {
	*modelImatrixCmd
	a *app

	base *convert.Sums // from files
	skip int           // chunks of the text that an earlier run read
	all  *convert.Sums // the content of the file
	read int           // chunks that this run has read
	loss calibrate.Loss
}

// readFiles reads what the run adds to: the given files, or the result of an earlier run.
func (r *imatrixRun) readFiles() error {
	var files []*convert.Sums
	for _, path := range r.InFile {
		s, err := convert.ReadSums(path, r.Context)
		if err != nil {
			return fmt.Errorf("--in-file: %w", err)
		}
		files = append(files, s)
	}
	var err error
	if r.base, err = convert.MergeSums(files...); err != nil {
		return fmt.Errorf("--in-file: %w", err)
	}
	r.all = r.base
	if !r.Resume {
		return nil
	}
	earlier, err := convert.ReadSums(r.Out, r.Context)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the earlier run ended before its first chunk
	}
	if err != nil {
		return fmt.Errorf("--resume: %w", err)
	}
	want := slices.Concat(r.base.Datasets, r.datasets())
	if !slices.Equal(earlier.Datasets, want) || earlier.ChunkSize != r.Context || earlier.Chunks < r.base.Chunks {
		err := fmt.Errorf("--resume: %s is of %q in chunks of %d tokens, not of %q in chunks of %d", r.Out,
			earlier.Datasets, earlier.ChunkSize, want, r.Context)
		return usageError(withHint(err, "use the same flags as the run that made it"))
	}
	r.skip = earlier.Chunks - r.base.Chunks
	r.base, r.all = earlier, earlier
	return nil
}

// datasets returns the texts' names for the file, without their directories, which are private.
func (r *imatrixRun) datasets() []string {
	var names []string
	for _, path := range r.Text {
		names = append(names, filepath.Base(path))
	}
	return names
}

// collect lets the model read the texts.
func (r *imatrixRun) collect() error {
	o, err := openModel(r.a, r.Model)
	if err != nil {
		return err
	}
	defer o.Close()
	chunks, err := r.chunks(o)
	if err != nil {
		return err
	}
	m, err := loadModel(o, r.Threads)
	if err != nil {
		return err
	}
	defer m.Close()
	c, err := calibrate.New(m, r.Context, r.Output)
	if err != nil {
		return err
	}
	defer c.Close()
	if r.skip == 0 {
		c.Sums().Datasets = r.datasets() // in a continued run the file names them already
	}
	return r.readAll(c, chunks)
}

// saveEvery is the maximum number of chunks that are lost if the process is killed: with Mixtral-8x7B a chunk of 512
// tokens takes seconds, and the file has 30 MB.
const saveEvery = 10

// readAll reads chunks until none is left or the user interrupts it.
func (r *imatrixRun) readAll(c *calibrate.Collector, chunks [][]int32) error {
	p := &imatrixProgress{w: r.a.stderr, terminal: isTerminal(r.a.stderr), total: len(chunks), from: r.skip,
		start: time.Now()}
	defer p.stop()
	for at := r.skip; at < len(chunks); at++ {
		if err := r.a.ctx.Err(); err != nil {
			p.stop()
			return r.interrupted(c, at, len(chunks), err)
		}
		if err := c.Read(chunks[at]); err != nil {
			return fmt.Errorf("chunk %d: %w", at+1, err)
		}
		r.read, r.loss = r.read+1, c.Loss()
		p.show(at+1, r.loss)
		if (at+1)%saveEvery == 0 && at+1 < len(chunks) {
			if err := r.save(c); err != nil {
				return err
			}
		}
	}
	return r.save(c)
}

// interrupted saves what has been collected.
func (r *imatrixRun) interrupted(c *calibrate.Collector, read, all int, why error) error {
	if r.read == 0 {
		return fmt.Errorf("interrupted before the first chunk: %w", why)
	}
	if err := r.save(c); err != nil {
		return err
	}
	return withHint(fmt.Errorf("interrupted after %d of %s, which %s holds: %w", read,
		noun.Of(all, "chunk", "chunks"), r.Out, why),
		"the same command with --resume continues")
}

// save saves what has been collected. The run then continues from the content of the file, so that a run which is
// killed and continued makes the same file as one that is not.
func (r *imatrixRun) save(c *calibrate.Collector) error {
	var err error
	if r.all, err = convert.MergeSums(r.base, c.Sums()); err != nil {
		return fmt.Errorf("--in-file: %w", err)
	}
	r.all.Round()
	r.base = r.all
	c.Sums().Clear()
	return r.all.WriteFile(r.Out)
}

// chunks reads the texts, one after another, and splits them.
func (r *imatrixRun) chunks(o *catalog.Opened) ([][]int32, error) {
	info, err := moe.Describe(o.File)
	if err != nil {
		return nil, usageError(err)
	}
	if r.Context > info.Context {
		return nil, usageError(fmt.Errorf("--context: must be at most %d, the model's context; got %d",
			info.Context, r.Context))
	}
	tok, err := readTokenizer(o.File, info.Vocab)
	if err != nil {
		return nil, usageError(err)
	}
	encode := tok.Encode
	if r.ParseSpecial {
		if encode, err = specialEncoder(o.File, tok); err != nil {
			return nil, usageError(err)
		}
	}
	var tokens []int32
	for _, path := range r.Text {
		data, err := bounded.File(path, 1<<30)
		if err != nil {
			return nil, fmt.Errorf("--text: %w", err)
		}
		tokens = append(tokens, encode(string(data), true)...)
	}
	bos := int32(-1)
	if head := tok.Encode("", true); len(head) > 0 {
		bos = head[0]
	}
	chunks := calibrate.Chunks(tokens, r.Context, bos)
	switch {
	case len(chunks) == 0:
		return nil, usageError(withHint(fmt.Errorf("--text: %s, at least one chunk of %d is needed",
			noun.Of(len(tokens), "token", "tokens"), r.Context), "give more text, or a smaller --context"))
	case r.skip > len(chunks):
		return nil, usageError(fmt.Errorf("--resume: %s holds %s, but the text has only %d", r.Out,
			noun.Of(r.skip, "chunk", "chunks"),
			len(chunks)))
	case r.Chunks > 0:
		chunks = chunks[:min(max(r.Chunks, r.skip), len(chunks))]
	}
	return chunks, nil
}

// report prints what the file contains, and which experts got no token.
func (r *imatrixRun) report(took time.Duration) error {
	s := r.all
	out := imatrix{Path: r.Out, Tensors: s.Tensors(), Datasets: s.Datasets, Chunks: s.Chunks,
		ChunkTokens: s.ChunkSize, Read: r.read, Unseen: []imatrixHole{}, Seconds: took.Seconds()}
	if r.loss.Tokens > 1 {
		out.Perplexity, out.PerplexityError = r.loss.Perplexity()
	}
	for _, g := range s.Unseen() {
		out.Unseen = append(out.Unseen, imatrixHole{g.Tensor, g.Parts})
	}
	warnGaps(r.a.stderr, "no token of the text reached them, so quantize treats their columns alike; use more text",
		s.Unseen())
	if r.JSON {
		return printJSON(r.a.stdout, out)
	}
	line := fmt.Sprintf("%s: %d tensors, %d chunks of %d tokens", out.Path, out.Tensors, out.Chunks, out.ChunkTokens)
	if r.loss.Tokens > 1 {
		line += fmt.Sprintf(", perplexity %.4f ± %.4f", out.Perplexity, out.PerplexityError)
		if r.read < out.Chunks {
			line += fmt.Sprintf(" in the %d read now", r.read)
		}
	}
	_, err := fmt.Fprintf(r.a.stdout, "%s, %.1f s\n", line, out.Seconds)
	return err
}

// warnGaps names the tensors that an importance matrix does not cover.
func warnGaps(w io.Writer, why string, gaps []convert.Gap) {
	for _, g := range gaps {
		what := ""
		if len(g.Parts) > 0 {
			experts := make([]string, len(g.Parts))
			for i, e := range g.Parts {
				experts[i] = strconv.Itoa(e)
			}
			what = ", experts " + strings.Join(experts, ", ")
		}
		fmt.Fprintf(w, "warning: %s%s: %s\n", g.Tensor, what, why)
	}
}
