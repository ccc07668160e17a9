package plainjson

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Strict decodes the JSON of a struct into the struct that to points to. It refuses unknown keys, of which the error
// names all, with those that are known, and anything after the end. nearest finds the known key that an unknown one
// most likely means, or returns an empty text.
func Strict(data []byte, to any, nearest func(key string, known []string) string) error {
	if err := json.Unmarshal(data, to); err != nil {
		return At(data, err)
	}
	var tree any
	if err := json.Unmarshal(data, &tree); err != nil {
		return At(data, err)
	}
	if _, ok := tree.(map[string]any); !ok {
		return fmt.Errorf("must be an object, got %s", given(tree))
	}
	unknown := unknownKeys(nearest, tree, reflect.TypeOf(to).Elem(), "")
	switch len(unknown) {
	case 0:
		return nil
	case 1:
		return errors.New(unknown[0])
	}
	return errors.New("\n  " + strings.Join(unknown, "\n  "))
}

func given(tree any) string {
	switch tree.(type) {
	case nil:
		return "null"
	case []any:
		return "a list"
	case string:
		return "text"
	case bool:
		return "true or false"
	}
	return "a number"
}

// unknownKeys says which keys of a tree a type does not have.
func unknownKeys(nearest func(string, []string) string, tree any, t reflect.Type, path string) (out []string) {
	switch x := tree.(type) {
	case []any:
		for i, item := range x {
			if t.Kind() == reflect.Slice {
				out = append(out, unknownKeys(nearest, item, t.Elem(), fmt.Sprintf("%s[%d]", path, i))...)
			}
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(x)) {
			at := strings.TrimPrefix(path+"."+key, ".")
			switch t.Kind() {
			case reflect.Map:
				out = append(out, unknownKeys(nearest, x[key], t.Elem(), at)...)
			case reflect.Pointer:
				out = append(out, unknownKeys(nearest, map[string]any{key: x[key]}, t.Elem(), path)...)
			case reflect.Struct:
				names, of := fieldsOf(t)
				i := slices.IndexFunc(names, func(name string) bool { return strings.EqualFold(name, key) })
				if i >= 0 {
					out = append(out, unknownKeys(nearest, x[key], of[i], at)...)
				} else {
					out = append(out, unknown(at, key, names, nearest(key, names)))
				}
			}
		}
	}
	return out
}

// unknown says that a key, at a path, is not one of those that are known.
func unknown(path, key string, known []string, near string) string {
	text := fmt.Sprintf("unknown key %.100q", key)
	if path != key {
		text = fmt.Sprintf("%.200s: %s", path, text)
	}
	if near != "" {
		text += fmt.Sprintf(" (did you mean %q?)", near)
	}
	return text + "; known keys: " + strings.Join(known, ", ")
}

// fieldsOf lists the keys of a struct and their types.
func fieldsOf(t reflect.Type) (names []string, types []reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			name = f.Name
		}
		if name != "-" {
			names, types = append(names, name), append(types, f.Type)
		}
	}
	return names, types
}
