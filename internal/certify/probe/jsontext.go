package probe

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// maxJSON bounds the number of values of metrics in JSON, and maxPath their depth.
const (
	maxJSON = 1 << 16
	maxPath = 8
)

// parseJSON converts metrics in JSON into series. Each number is a series, whose name is the path of keys to it,
// joined by dots. Of a list the last entry counts, because servers that report each iteration append entries. No two
// servers agree on such names, so only a case can explain them.
func parseJSON(body []byte) ([]series, error) {
	if n := bounded.Values(body); n > maxJSON {
		return nil, fmt.Errorf("metrics in JSON: %w: %d values", errTooMuch, maxJSON)
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("no metrics in the text format, and no JSON: %s",
			bounded.Short(err.Error(), evidence.MaxName))
	}
	all := flatten(nil, "", v, maxPath)
	if len(all) == 0 {
		return nil, fmt.Errorf("no metrics in the text format, and no numbers in JSON")
	}
	slices.SortFunc(all, func(a, b series) int { return strings.Compare(a.name, b.name) })
	return all, nil
}

func flatten(all []series, path string, v any, depth int) []series {
	if depth == 0 || len(path) > evidence.MaxName {
		return all
	}
	switch x := v.(type) {
	case map[string]any:
		for key, member := range x {
			all = flatten(all, strings.TrimPrefix(path+"."+strings.ToValidUTF8(key, ""), "."), member, depth-1)
		}
	case []any:
		if len(x) > 0 {
			all = flatten(all, path, x[len(x)-1], depth-1)
		}
	case json.Number:
		if f, err := x.Float64(); err == nil && path != "" {
			all = append(all, series{name: path, value: f})
		}
	}
	return all
}
