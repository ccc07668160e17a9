package convert

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/model/safetensors"
)

// UnsupportedError says that a file or directory is there, what it holds that is not read, and what to take instead.
// It matches ErrSource.
type UnsupportedError struct {
	Path string
	What string // "its weights are quantised with GPTQ, which is not supported"
	Hint string
}

func (e *UnsupportedError) Error() string { return e.Path + ": " + e.What }

// Is makes every UnsupportedError an ErrSource.
func (e *UnsupportedError) Is(target error) bool { return target == ErrSource }

// What to take instead.
const (
	hintOriginal = "take a GGUF file of the model, or its original weights in BF16, F16 or F32"
	hintLayout   = "take the same model's files in Hugging Face's layout, model-00001-of-….safetensors, or a GGUF file"
	hintSafe     = "take the same model's safetensors, or a GGUF file"
	hintLFS      = "run git lfs pull in the repository, or mixtral model pull hf://OWNER/REPO"
	hintDir      = "give the directory that it is in"
	hintTekken   = "take a release of the model with tokenizer.model or a SentencePiece tokenizer.json, or a GGUF file"
	hintMerge    = "merge it into its base model first, and save that"
)

func quantised(path, method string) error {
	return &UnsupportedError{path,
		"its weights are quantised with " + method + ", which is not supported", hintOriginal}
}

// Refused tells of a directory what it holds that is not read: quantised weights, pickles, consolidated weights and
// the like. It is nil for a directory that may be read, and for one that holds nothing known.
func Refused(dir string) error {
	names, err := fileNames(dir)
	if err != nil {
		return nil // reading it will say
	}
	has := func(match func(string) bool) bool { return slices.ContainsFunc(names, match) }
	named := func(name string) bool { return slices.Contains(names, name) }
	for _, name := range names {
		if isPointer(filepath.Join(dir, name)) {
			return &UnsupportedError{filepath.Join(dir, name), "it is a Git LFS pointer, not the file itself", hintLFS}
		}
	}
	if method := quantMethod(dir); method != "" {
		return quantised(dir, method)
	}
	consolidated := func(n string) bool { return strings.HasPrefix(n, "consolidated") }
	weights := func(n string) bool { return strings.HasSuffix(n, ".safetensors") && !consolidated(n) }
	switch {
	case named("adapter_config.json") && !named("config.json"):
		return &UnsupportedError{dir, "it holds a LoRA adapter, not a model", hintMerge}
	case has(weights):
		if named("tekken.json") && !named("tokenizer.model") && !named("tokenizer.json") {
			return &UnsupportedError{dir, "its tokenizer is Mistral's Tekken (tekken.json), which is not supported",
				hintTekken}
		}
		return nil
	case has(consolidated):
		return &UnsupportedError{dir, "it holds Mistral's consolidated weights, which are not supported", hintLayout}
	case has(isPickle):
		return &UnsupportedError{dir, "it holds PyTorch pickles, which are not read, as they may run code", hintSafe}
	}
	for _, name := range names {
		if what := otherFormats[filepath.Ext(name)]; what != "" {
			return &UnsupportedError{dir, "it holds " + what + ", which is not read", hintSafe}
		}
	}
	return nil
}

// otherFormats of weights, by the ends of their files' names.
var otherFormats = map[string]string{".onnx": "a model in ONNX", ".npz": "NumPy arrays", ".h5": "a model in HDF5",
	".msgpack": "a model in Flax's format", ".nemo": "a model in NeMo's format", ".engine": "a TensorRT engine",
	".ggml": "a model in the GGML format, which came before GGUF"}

func isPickle(name string) bool {
	switch filepath.Ext(name) {
	case ".bin", ".pth", ".pt", ".ckpt", ".pkl":
		return name != "training_args.bin" && name != "optimizer.bin"
	}
	return false
}

// maxNames bounds what is looked at in a directory.
const maxNames = 10_000

func fileNames(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	entries, err := d.ReadDir(maxNames)
	var names []string
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, err
}

// head gives the first bytes of a regular file; none where it cannot be read.
func head(path string, n int) []byte {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	b := make([]byte, n)
	n, _ = io.ReadFull(f, b)
	return b[:n]
}

// isPointer tells whether a file is what git clone leaves where Git LFS is not installed.
func isPointer(path string) bool {
	return bytes.HasPrefix(head(path, 64), []byte("version https://git-lfs.github.com/spec/"))
}

// quantMethod gives what a directory's weights are quantised with, such as GPTQ; empty for nothing.
func quantMethod(dir string) string {
	read := func(name string, into any) bool {
		data, err := readFile(dir, name)
		return err == nil && data != nil && decode(data, maxSettings, into) == nil
	}
	type settings struct {
		Method string `json:"quant_method"`
		Format string `json:"format"`
		In4    bool   `json:"load_in_4bit"`
		In8    bool   `json:"load_in_8bit"`
	}
	var c struct {
		Quantization *settings `json:"quantization_config"`
		Compression  *settings `json:"compression_config"`
		MLX          *struct {
			Bits int `json:"bits"`
		} `json:"quantization"`
	}
	if read("config.json", &c) {
		for _, q := range []*settings{c.Quantization, c.Compression} {
			switch {
			case q == nil:
			case q.Method != "":
				return methodName(q.Method, q.Format)
			case q.In4 || q.In8:
				return "bitsandbytes"
			case q == c.Compression:
				return methodName("compressed-tensors", q.Format)
			default:
				return "a method that config.json does not name"
			}
		}
		if c.MLX != nil && c.MLX.Bits > 0 {
			return "MLX"
		}
	}
	var side settings
	for _, of := range [][2]string{{"quantize_config.json", "gptq"}, {"quant_config.json", "awq"}} {
		if read(of[0], &side) {
			return methodName(cmp.Or(side.Method, of[1]), "")
		}
	}
	var opt struct {
		Quantization struct {
			Algorithm string `json:"quant_algo"`
		} `json:"quantization"`
	}
	if read("hf_quant_config.json", &opt) && opt.Quantization.Algorithm != "" {
		return opt.Quantization.Algorithm + " (ModelOpt)"
	}
	return ""
}

// methodName writes a method as its authors do.
func methodName(method, format string) string {
	low := strings.ToLower(method)
	switch {
	case low == "bitsandbytes":
		return "bitsandbytes"
	case strings.Contains(low, "fp8"), low == "compressed-tensors" && strings.Contains(format, "float"):
		if low == "fp8" {
			return "FP8"
		}
		return "FP8 (" + low + ")"
	case low == "compressed-tensors", low == "torchao", low == "quanto", low == "modelopt":
		return low
	}
	return strings.ToUpper(method)
}

// refusedTensors tells of weights by the names, types and shapes of their arrays what they are, where no configuration
// did.
func refusedTensors(dir string, m *safetensors.Model) error {
	all := map[string]safetensors.Tensor{}
	for _, x := range m.Tensors() {
		all[x.Name] = x
	}
	for _, x := range m.Tensors() {
		switch method := arrayMethod(x, all); {
		case method != "":
			return quantised(dir, method)
		case x.Name == "tok_embeddings.weight", strings.HasPrefix(x.Name, "layers.") &&
			strings.Contains(x.Name, ".attention.wq."):
			return &UnsupportedError{dir,
				"it holds Mistral's consolidated weights, which are not supported", hintLayout}
		case strings.Contains(x.Name, ".lora_A."):
			return &UnsupportedError{dir, "it holds a LoRA adapter, not a model", hintMerge}
		}
	}
	return nil
}

// arrayMethod tells of one matrix what it is quantised with, by what stands beside it in all; empty for nothing.
func arrayMethod(x safetensors.Tensor, all map[string]safetensors.Tensor) string {
	stem, last := "", x.Name
	if dot := strings.LastIndexByte(x.Name, '.'); dot >= 0 {
		stem, last = x.Name[:dot+1], x.Name[dot+1:]
	}
	beside := func(names ...string) bool {
		return slices.ContainsFunc(names, func(name string) bool { _, ok := all[stem+name]; return ok })
	}
	switch last {
	case "qweight":
		if beside("g_idx") {
			return "GPTQ"
		}
		// Both pack eight values of 4 bits: GPTQ along the inputs, so that rows are as long as those of scales, and
		// AWQ along the outputs, or each row (gemv).
		if s := all[stem+"scales"].Shape; len(s) == 2 && len(x.Shape) == 2 && s[1] == x.Shape[1] {
			return "GPTQ"
		}
		return "AWQ"
	case "weight_packed":
		return "compressed-tensors"
	case "q_weight":
		return "EXL2"
	case "trellis":
		return "EXL3"
	case "W_q":
		return "HQQ"
	case "codebooks":
		return "AQLM"
	case "weight":
		return weightMethod(x.DType, beside)
	}
	if strings.HasSuffix(last, "_blocks") && x.DType == "U8" {
		return "MXFP4"
	}
	if strings.Contains(x.Name, "experts") && strings.HasPrefix(x.DType, "F8_") { // packed, as in Transformers 5
		return "FP8"
	}
	return ""
}

// weightMethod is arrayMethod of an array that is called as one of floating-point numbers is.
func weightMethod(dtype string, beside func(...string) bool) string {
	switch {
	case beside("SCB", "weight.absmax", "weight.quant_state.bitsandbytes__nf4",
		"weight.quant_state.bitsandbytes__fp4"):
		return "bitsandbytes"
	case dtype == "U32" && beside("scales"):
		return "MLX"
	case dtype == "U8" && beside("weight_scale_2"):
		return "NVFP4"
	case dtype == "I8" && beside("weight_scale"):
		return "INT8"
	case strings.HasPrefix(dtype, "F8_"):
		return "FP8"
	case slices.Contains([]string{"I8", "U8", "I32", "U32"}, dtype): // one value, or several packed
		return "a method that no file names"
	}
	return ""
}

// RefusedFile tells of a single file that is not a GGUF model what it is; nil if it is of no known kind.
func RefusedFile(path string) error {
	name, start := filepath.Base(path), head(path, 64)
	refuse := func(hint, format string, args ...any) error {
		return &UnsupportedError{path, fmt.Sprintf(format, args...), hint}
	}
	starts := func(s string) bool { return bytes.HasPrefix(start, []byte(s)) }
	ext := strings.ToLower(filepath.Ext(name))
	switch {
	case isPointer(path):
		return refuse(hintLFS, "it is a Git LFS pointer, not the file itself")
	case ext == ".part": // it may begin as a whole one does
		return refuse("run the same mixtral model pull or quantize again: it continues", "it is an unfinished file")
	case starts("GGUF"):
		return nil
	case ext == ".safetensors" && strings.HasPrefix(name, "consolidated"):
		return refuse(hintLayout, "it holds Mistral's consolidated weights, which are not supported")
	case ext == ".safetensors":
		return refuse(hintDir, "weights alone are not a model: config.json and the tokenizer are beside them")
	case strings.HasPrefix(name, "consolidated") && isPickle(name):
		return refuse(hintLayout, "it holds Mistral's consolidated weights, which are not supported")
	case isPickle(name), starts("PK\x03\x04") && ext != ".zip":
		return refuse(hintSafe, "it is a PyTorch pickle, which is not read, as it may run code")
	case name == "tekken.json":
		return refuse(hintTekken, "it is Mistral's Tekken tokenizer, which is not supported, and not a model")
	case ext == ".json", name == "tokenizer.model", ext == ".jinja":
		return refuse(hintDir, "it is one of a model's smaller files, not the model")
	case starts("tjgg"), starts("fmgg"), starts("lmgg"), starts("algg"):
		return refuse(hintSafe, "it is in the GGML format, which came before GGUF and is not read")
	case starts("PK\x03\x04"), starts("\x1f\x8b"), starts("\x28\xb5\x2f\xfd"), starts("7z\xbc\xaf"),
		starts("\xfd7zXZ"),
		ext == ".tar":
		return refuse("unpack it", "it is an archive")
	case bytes.HasPrefix(bytes.ToLower(bytes.TrimSpace(start)), []byte("<!doctype")), starts("<html"):
		return refuse("download it again: mixtral model pull URL", "it is a web page, not a model")
	}
	if what := otherFormats[ext]; what != "" {
		return refuse(hintSafe, "it is %s, which is not read", what)
	}
	return nil
}
