package grammartest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
)

// Schema makes a schema of the keywords that are supported. Some have no value, and some a oneOf that is refused.
func Schema(rng *rand.Rand) string {
	r := &randomizer{rng}
	root := r.schema(3)
	root["x-order"], root["ui:widget"] = 1, "form"
	root["$defs"] = map[string]any{"leaf": r.schema(0),
		"open": map[string]any{"properties": map[string]any{"o": r.schema(0)}},
		"tree": map[string]any{"type": "object",
			"properties": map[string]any{"kids": map[string]any{"type": "array", "maxItems": 2,
				"items": map[string]any{"$ref": "#/$defs/tree"}}, "leaf": map[string]any{"$ref": "#/$defs/leaf"}},
			"required": []string{"leaf"}, "additionalProperties": false}}
	b, err := json.Marshal(root)
	if err != nil {
		panic(err)
	}
	return string(b)
}

type randomizer struct{ *rand.Rand }

func (r *randomizer) chance(n int) bool { return r.IntN(n) == 0 }

func (r *randomizer) schema(depth int) map[string]any {
	if depth == 0 {
		return []func() map[string]any{r.integer, r.number, r.str, r.enum, r.boolean, r.pattern}[r.IntN(6)]()
	}
	switch r.IntN(11) {
	case 9:
		return r.conditional(depth)
	case 10:
		return r.items(depth)
	case 0, 1, 2:
		return r.object(depth)
	case 3, 4:
		return r.array(depth)
	case 5:
		return map[string]any{"anyOf": []any{r.schema(depth - 1), r.schema(depth - 1)}}
	case 6:
		return map[string]any{"$ref": "#/$defs/" + []string{"leaf", "tree"}[r.IntN(2)]}
	case 7:
		kind := []string{"oneOf", "allOf"}[r.IntN(2)]
		if kind == "oneOf" {
			return map[string]any{kind: []any{r.object(depth - 1), r.schema(0)}}
		}
		if r.chance(3) {
			return r.closed(depth)
		}
		return map[string]any{kind: []any{r.object(depth - 1), r.object(depth - 1)}}
	}
	return r.schema(0)
}

func (r *randomizer) object(depth int) map[string]any {
	props, required := map[string]any{}, []string{}
	for i := range r.IntN(5) {
		name := []string{"a", "name", "é \"q\"", "x_1", "long-name-of-a-member"}[i]
		props[name] = r.schema(max(depth-1, 0))
		if !r.chance(3) {
			required = append(required, name)
		}
	}
	out := map[string]any{"type": "object", "properties": props, "required": required}
	switch r.IntN(7) {
	case 0:
		out["additionalProperties"] = r.schema(0)
	case 1:
		out["additionalProperties"] = false
	case 2:
		out["maxProperties"] = len(required) + r.IntN(3)
	case 3:
		out["minProperties"] = r.IntN(len(required) + 1)
	case 5:
		out["unevaluatedProperties"] = false
	case 4:
		if depth == 3 { // not below allOf
			out["patternProperties"] = map[string]any{"^p[0-9]{1,3}$": r.schema(0), "[a-c]$": true}
		}
	}
	return out
}

// closed makes a schema of objects whose members are spoken of in several places.
func (r *randomizer) closed(depth int) map[string]any {
	out := map[string]any{"type": "object", "unevaluatedProperties": []any{false, r.schema(0)}[r.IntN(2)]}
	if r.chance(2) {
		out["properties"] = map[string]any{"own": r.schema(0)}
	}
	if r.chance(2) {
		out["allOf"] = []any{r.object(depth - 1), map[string]any{"properties": map[string]any{"b": r.schema(0)}}}
	}
	if r.chance(2) {
		out["$ref"] = "#/$defs/open"
	}
	if r.chance(3) {
		out["anyOf"] = []any{map[string]any{"properties": map[string]any{"c": r.schema(0)}, "required": []string{"c"}},
			map[string]any{"properties": map[string]any{"d": r.schema(0)}, "required": []string{"d"}}}
	}
	if r.chance(3) {
		out["if"] = map[string]any{"properties": map[string]any{"own": map[string]any{"type": "integer"}},
			"required": []string{"own"}}
		out["then"] = map[string]any{"properties": map[string]any{"e": r.schema(0)}}
	}
	return out
}

func (r *randomizer) array(depth int) map[string]any {
	out := map[string]any{"type": "array", "items": r.schema(depth - 1)}
	lo := r.IntN(3)
	if r.chance(2) {
		out["minItems"] = lo
	}
	if r.chance(2) {
		out["maxItems"] = lo + r.IntN(3)
	}
	if r.chance(3) {
		out["prefixItems"] = []any{r.schema(0), r.schema(0)}
	}
	return out
}

// conditional makes a schema with not, or with if, then and else.
func (r *randomizer) conditional(depth int) map[string]any {
	base := []func() map[string]any{r.integer, r.str, r.boolean,
		func() map[string]any { return r.object(depth - 1) }}[r.IntN(4)]()
	other := []func() map[string]any{r.enum, r.boolean,
		func() map[string]any { return map[string]any{"maximum": r.IntN(500)} },
		func() map[string]any { return map[string]any{"minLength": r.IntN(5), "maxLength": 9} },
		func() map[string]any { return map[string]any{"pattern": "^[a-k]"} },
		func() map[string]any { return map[string]any{"required": []string{"a"}} },
		func() map[string]any {
			return map[string]any{"properties": map[string]any{"a": map[string]any{"type": []any{"integer", "null"}}}}
		}}
	pick := func() map[string]any { return other[r.IntN(len(other))]() }
	if r.chance(2) {
		base["not"] = pick()
		return base
	}
	base["if"] = pick()
	for _, name := range []string{"then", "else"} {
		if !r.chance(3) {
			base[name] = pick()
		}
	}
	return base
}

// items makes a schema of arrays with contains or without repetition.
func (r *randomizer) items(depth int) map[string]any {
	if r.chance(3) {
		item := []func() map[string]any{r.integer, r.number, r.str,
			func() map[string]any { return r.object(depth - 1) },
			func() map[string]any { return r.schema(depth - 1) }}[r.IntN(5)]()
		return map[string]any{"type": "array", "items": item, "uniqueItems": true, "minItems": r.IntN(3),
			"maxItems": 2 + r.IntN(8)}
	}
	if r.chance(2) {
		values := []any{1, "a", nil, true, 2.5, []any{1}, "b", "c", 7, 8}
		return map[string]any{"type": "array", "items": map[string]any{"enum": values[:2+r.IntN(8)]},
			"uniqueItems": true,
			"minItems":    r.IntN(3), "maxItems": 2 + r.IntN(8)}
	}
	out := r.array(depth)
	out["contains"] = []func() map[string]any{r.integer, r.boolean, r.enum,
		func() map[string]any { return out["items"].(map[string]any) }}[r.IntN(4)]()
	if r.chance(2) {
		out["minContains"] = r.IntN(3)
	}
	if r.chance(3) {
		out["maxContains"] = 1 + r.IntN(2)
	}
	return out
}

func (r *randomizer) integer() map[string]any {
	out := map[string]any{"type": "integer"}
	lo := r.IntN(2001) - 1000
	if r.chance(2) {
		out[[]string{"minimum", "exclusiveMinimum"}[r.IntN(2)]] = lo
	}
	if r.chance(2) {
		out[[]string{"maximum", "exclusiveMaximum"}[r.IntN(2)]] = lo + 8 + r.IntN(5000)
	}
	if r.chance(3) {
		out["multipleOf"] = 1 + r.IntN(7)
	}
	return out
}

func (r *randomizer) number() map[string]any {
	out := map[string]any{"type": "number"}
	lo := float64(r.IntN(2001)-1000) / 8
	if r.chance(2) {
		out[[]string{"minimum", "exclusiveMinimum"}[r.IntN(2)]] = lo
	}
	if r.chance(2) {
		out[[]string{"maximum", "exclusiveMaximum"}[r.IntN(2)]] = lo + float64(1+r.IntN(1000))/16
	}
	if r.chance(4) {
		out["multipleOf"] = []float64{0.5, 0.25, 2, 1}[r.IntN(4)]
	}
	return out
}

func (r *randomizer) str() map[string]any {
	out := map[string]any{"type": []any{"string", "null"}[:1+r.IntN(2)]}
	lo := r.IntN(6)
	if r.chance(2) {
		out["minLength"] = lo
	}
	if r.chance(2) {
		out["maxLength"] = lo + r.IntN(60)
	}
	if r.chance(3) {
		out["format"] = []string{"date", "date-time", "ipv4", "uuid", "email", "time"}[r.IntN(6)]
		delete(out, "minLength")
		delete(out, "maxLength")
	}
	return out
}

func (r *randomizer) pattern() map[string]any {
	patterns := []string{`^[a-z]{2,8}$`, `^(foo|bar)+$`, `\d{3}`, `^\w+@\w+\.com$`, `"x\\"`, `^.{1,9}$`, `é|ü`, `^$`, `[^a-z]$`}
	out := map[string]any{"type": "string", "pattern": patterns[r.IntN(len(patterns))]}
	if r.chance(3) {
		out["maxLength"] = 12
	}
	return out
}

func (r *randomizer) enum() map[string]any {
	if r.chance(3) {
		return map[string]any{"const": fmt.Sprintf("c%d\t\"é\"", r.IntN(3))}
	}
	return map[string]any{"enum": []any{"red", "green", 1, 2.5, nil, true, []any{1, "x"}}[:1+r.IntN(7)]}
}

func (r *randomizer) boolean() map[string]any { return map[string]any{"type": "boolean"} }
