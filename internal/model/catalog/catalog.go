package catalog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// ErrRef is matched by every error about a reference that leads to no model. It is wrapped in an *Error.
var ErrRef = errors.New("no such model")

// Error says what is wrong with a reference, and often what to do.
type Error struct {
	Ref  string
	Err  error
	Hint string // one line; may be empty
}

func (e *Error) Error() string { return fmt.Sprintf("model %q: %v", e.Ref, e.Err) }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Opened is a model ready to be loaded.
type Opened struct {
	File *gguf.File
	ID   string // what clients call it
	Path string // of the file; empty for models in memory
	From string // the directory that it was converted from; empty: it was not
	// Sources are the files of From that were read, with their hashes; nil where nothing was converted.
	Sources []Digest

	data    []byte   // of models in memory
	sources []string // where File is a packed copy: the model's own files
	hash    func() (string, error)
}

// demoRef names the built-in model; an empty reference means it too.
const demoRef = "demo"

const synthPrefix = "synth:"

// Options say how to open a model. The zero value is what a command without flags wants.
type Options struct {
	// QuantizeTo is the format that weights in safetensors are converted to, such as q4_k_m; empty: the widest of
	// Automatic that fits Memory and the machine.
	QuantizeTo string
	Memory     int64 // bytes that serving the model may take; 0: what the machine or the control group allows
	Context    int   // tokens of one request, which must fit; 0: what the model was trained for
	KVType     quant.KVType
	CacheDir   string // for converted models and packed copies; empty: mixtral in the user's cache directory
	Workers    int    // to convert with; < 1: one for each CPU
	Describe   bool   // nobody will compute with it: safetensors are not converted, and their File has no weights
	Packed     bool   // the File may be a packed copy, where there is one: see Opened.Pack
	PackFrom   int64  // bytes from which a packed copy is worth having; 0: 256 MiB

	Progress func(Progress) // of a conversion; nil: not called
	Say      func(string)   // what was chosen of several possibilities, and that it is converted; nil: not called

	why string // the type that was chosen fits
}

// Progress says how far a conversion is.
type Progress struct {
	Stage   string // "check NAME" reads the weights for their hashes, "convert NAME" writes the model
	Done    int64  // bytes
	Total   int64
	Resumed int64 // of Done, finished by an earlier attempt
}

func (o *Options) say(format string, args ...any) {
	if o.Say != nil {
		o.Say(fmt.Sprintf(format, args...))
	}
}

// Open is OpenWith without options.
func Open(ref string) (*Opened, error) { return OpenWith(context.Background(), ref, Options{}) }

// OpenWith finds a model:
//
//	demo or ""                 the built-in model
//	NAME[:TYPE]                a model of the catalogue that was pulled, such as mixtral-8x7b-instruct:q4_k_m
//	synth:PRESET[:TYPE]        seeded random weights: tiny, nano, mid, 8x7b or needle, of a format such as q4_0
//	path/to/model.gguf         a file
//	path/to/directory          a directory with a GGUF model, or with a model in safetensors, which is converted once
//
// Errors are *Error. Close the result.
func OpenWith(ctx context.Context, ref string, options Options) (*Opened, error) {
	var o *Opened
	known, isName, err := Lookup(ref)
	switch preset, isSynth := strings.CutPrefix(ref, synthPrefix); {
	case ref == "" || ref == demoRef:
		o, err = openDemo()
	case isSynth:
		o, err = openSynth(preset)
	case isName && err == nil:
		o, err = openNamed(ctx, known, options)
	case isName:
	default:
		o, err = openPath(ctx, ref, options)
	}
	if err != nil {
		var own *Error
		if !errors.As(err, &own) {
			err = &Error{Err: err}
			errors.As(err, &own)
		}
		own.Ref = ref
		return nil, own
	}
	if options.Packed {
		o.usePacked(&options)
	}
	o.hash = sync.OnceValues(o.sum)
	return o, nil
}

// Close releases the file.
func (o *Opened) Close() error { return o.File.Close() }

// SHA256 gives the file's hash in hexadecimal, of a split model that of its parts one after the other; where File is a
// packed copy, that of the file it was made of. The first call reads it all.
func (o *Opened) SHA256() (string, error) { return o.hash() }

func (o *Opened) sum() (string, error) {
	h := sha256.New()
	h.Write(o.data)
	paths := o.sources
	if paths == nil {
		paths = o.File.Paths()
	}
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return "", err
		}
		_, err = io.Copy(h, f)
		if err = errors.Join(err, f.Close()); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// fromMemory opens a file held in memory.
func fromMemory(id string, data []byte) (*Opened, error) {
	f, err := gguf.Parse(data)
	if err != nil {
		return nil, err
	}
	return &Opened{File: f, ID: id, data: data}, nil
}

// inMemory is the size up to which a synthetic model is made afresh in memory each time: about 0.2 s of work. A larger
// one is a file in the user's cache directory, made once, up to inCache.
const (
	inMemory = 64 << 20
	inCache  = 4 << 30
)

func openSynth(name string) (*Opened, error) {
	preset, typ, typed := strings.Cut(name, ":")
	shape, ok := synth.Preset(preset)
	if !ok {
		return nil, &Error{Err: fmt.Errorf("%w: unknown synthetic preset %q", ErrRef, preset),
			Hint: "known presets: " +
				strings.Join(synth.Presets(), ", ")}
	}
	if typed {
		t, err := quant.ParseType(typ)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrRef, err)
		}
		shape.Type = t
	}
	size, err := synth.Size(shape)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRef, err)
	}
	id := fmt.Sprintf("mixtral-synthetic-%s-%s", preset, strings.ToLower(shape.Type.String()))
	switch {
	case size <= inMemory:
		data, err := synth.Bytes(shape)
		if err != nil {
			return nil, err
		}
		return fromMemory(id, data)
	case size > inCache:
		return nil, &Error{Err: fmt.Errorf("%w: %.0f GiB are too large to be generated in memory", ErrRef,
			float64(size)/(1<<30)),
			Hint: fmt.Sprintf("mixtral model synth --preset %s --type %v --out FILE.gguf, then --model FILE.gguf",
				preset, shape.Type)}
	}
	path, err := cached(id, size, shape)
	if err != nil {
		return nil, err
	}
	o, err := openFile(path)
	if err == nil {
		o.ID = id
	}
	return o, err
}

// cached makes a synthetic file once.
func cached(id string, size int64, shape synth.Shape) (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	dir = filepath.Join(dir, "mixtral")
	// another writer of another size makes another file
	path := filepath.Join(dir, fmt.Sprintf("%s-%d.gguf", id, size))
	if info, err := os.Stat(path); err == nil && info.Size() == size {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	return path, WriteSynth(context.Background(), path, shape, nil)
}

// WriteSynth writes a synthetic model to a file that appears under its name only when it is complete. progress, if not
// nil, is called with the number of bytes written so far. It stops when ctx ends.
func WriteSynth(ctx context.Context, path string, shape synth.Shape, progress func(int64)) error {
	return writeWhole(ctx, path, progress, func(w io.Writer) error { return synth.Write(w, shape) })
}
