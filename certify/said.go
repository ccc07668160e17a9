package certify

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits for a server's description of itself, which is untrusted and appears in reports.
const (
	mostSaid     = 60      // facts
	mostSaidText = 200     // bytes of a fact
	mostSaidBody = 1 << 20 // bytes of an answer
)

// saidPatience is how long each answer may take. Tests have more patience.
var saidPatience = 5 * time.Second

// asked lists the routes with which servers describe themselves, and the fields that say how they were started. A name
// with a dot is in an inner object.
var asked = []struct {
	path   string
	fields []string
}{
	{"/get_server_info", []string{"version", "model_path", "tp_size", "dp_size", "ep_size", "pp_size", "dtype",
		"quantization", "kv_cache_dtype", "mem_fraction_static", "max_running_requests", "max_total_num_tokens",
		"context_length", "chunked_prefill_size", "schedule_policy", "attention_backend", "speculative_algorithm",
		"disable_radix_cache"}}, // SGLang
	{"/props", []string{"build_info", "model_path", "total_slots", "default_generation_settings.n_ctx"}}, // llama.cpp
	{"/info", []string{"version", "model_id", "model_sha", "model_dtype", "model_device_type",
		"max_concurrent_requests",
		"max_input_tokens", "max_total_tokens", "max_batch_total_tokens", "router"}}, // Text Generation Inference
	{"/api/version", []string{"version"}}, // Ollama
}

// modelFields are the fields of a model in the list of models, besides its id.
var modelFields = []string{"owned_by", "root", "max_model_len", "context_length", "quantization", "meta.n_params",
	"meta.n_ctx_train", "meta.size"}

// describe asks the server to describe itself: by its version, its list of models, the routes of known servers, and
// the info metrics. None of it is proven; the report marks it as the server's own words.
func (r *runner) describe(ctx context.Context) map[string]string {
	ctx, cancel := context.WithTimeout(ctx, 4*saidPatience)
	defer cancel()
	s, out := r.server, map[string]string{}
	put := func(key, value string) {
		if len(value) > mostSaidText {
			value = strings.ToValidUTF8(value[:mostSaidText], "") + " …"
		}
		if value != "" && len(out) < mostSaid {
			out[key] = value
		}
	}
	put("version", s.version)
	put("model", s.model)
	var list struct {
		Data []map[string]any `json:"data"`
	}
	if s.said(ctx, "/v1/models", &list) {
		for _, m := range list.Data {
			if id, _ := m["id"].(string); id == s.model {
				for _, f := range modelFields {
					put(f, field(m, f))
				}
			}
		}
	}
	for _, a := range asked {
		var m map[string]any
		if !s.said(ctx, a.path, &m) {
			continue
		}
		for _, f := range a.fields {
			if _, have := out[f]; !have {
				put(f, field(m, f))
			}
		}
	}
	infos := r.metrics.scraper.Infos(ctx)
	for _, k := range slices.Sorted(maps.Keys(infos)) {
		put(k, infos[k])
	}
	return out
}

// said reads one route. It returns false if the server does not have it.
func (s *server) said(ctx context.Context, path string, into any) bool {
	ctx, cancel := context.WithTimeout(ctx, saidPatience)
	defer cancel()
	resp, err := s.client.Send(ctx, http.MethodGet, path, nil)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, mostSaidBody))
	return err == nil && json.Unmarshal(data, into) == nil
}

// field formats a field of an object. It returns "" if the field is absent, null or itself an object.
func field(m map[string]any, path string) string {
	name, rest, inner := strings.Cut(path, ".")
	if inner {
		sub, _ := m[name].(map[string]any)
		return field(sub, rest)
	}
	switch v := m[name].(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return fmt.Sprint(json.Number(strconv.FormatFloat(v, 'f', -1, 64)))
	}
	return ""
}
