package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
)

// unusable is an ErrRef about something that is there: its text is the cause alone.
type unusable struct{ err error }

func (u unusable) Error() string        { return u.err.Error() }
func (u unusable) Unwrap() error        { return u.err }
func (u unusable) Is(target error) bool { return target == ErrRef }

// laterPart is the name of a split model's part that is not its first.
var laterPart = regexp.MustCompile(`-(\d{5})-of-\d{5}\.gguf$`)

// inDirectory gives the one model file of a directory.
func inDirectory(dir string) (string, error) {
	found := func(pattern string) []string {
		names, _ := filepath.Glob(filepath.Join(globEscape(dir), pattern))
		return names
	}
	var models []string
	for _, name := range found("*.gguf") {
		if m := laterPart.FindStringSubmatch(name); m == nil || m[1] == "00001" {
			models = append(models, name)
		}
	}
	switch {
	case len(models) == 1:
		return models[0], nil
	case len(models) > 1:
		return "", &Error{Err: unusable{fmt.Errorf("the directory holds %d models", len(models))},
			Hint: "name one of them: " + strings.Join(models[:min(len(models), 3)], ", ")}
	}
	if method := quantMethod(filepath.Join(dir, "config.json")); method != "" {
		return "", &Error{Err: unusable{fmt.Errorf("the directory's weights are quantised with %s, which is not "+
			"supported", method)},
			Hint: "take a GGUF file of the model, or its original weights in BF16 and model quantize"}
	}
	switch {
	case len(found("*.safetensors")) > 0 && len(found("model*.safetensors")) == 0 && len(found("consolidated*")) > 0,
		len(found("consolidated*.pth")) > 0, len(found("consolidated*.pt")) > 0:
		return "", &Error{Err: unusable{errors.New("the directory holds Mistral's consolidated weights, which are " +
			"not supported")},
			Hint: "take the same model's files in Hugging Face's layout, model-00001-of-….safetensors"}
	case len(found("*.safetensors")) > 0:
		return "", &Error{Err: unusable{errors.New("the directory holds safetensors, which must be converted first")},
			Hint: convertHint}
	case len(found("*.bin"))+len(found("*.pth"))+len(found("*.pt")) > 0:
		return "", &Error{Err: unusable{errors.New("the directory holds PyTorch pickles, which are not read, " +
			"as they may run code")}, Hint: "take the same model's safetensors, or a GGUF file"}
	}
	return "", &Error{Err: unusable{errors.New("the directory holds no model")},
		Hint: "models are GGUF files, or directories with one"}
}

// quantMethod gives what a config.json says its weights are quantised with, such as GPTQ; empty for nothing.
func quantMethod(path string) string {
	data, err := bounded.File(path, 1<<20)
	if err != nil {
		return ""
	}
	var c struct {
		Quantization struct {
			Method string `json:"quant_method"`
		} `json:"quantization_config"`
	}
	if json.Unmarshal(data, &c) != nil {
		return ""
	}
	return strings.ToUpper(c.Quantization.Method)
}

// globEscape makes a path match itself only.
func globEscape(path string) string {
	return regexp.MustCompile(`[*?[\\]`).ReplaceAllString(path, `\$0`)
}
