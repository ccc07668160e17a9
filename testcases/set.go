package testcases

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Set changes one value with an assignment such as "targets.throughput_rps=80". Phases and checks are named by their
// ids: "profiles.quick.sustained.duration_s=30", "checks.leak.gate=false". A list of plain values is replaced as a
// whole: "profiles.quick.depths.task.tokens=[1000, 8000]". A section with free names, such as request.headers, accepts
// a new name: "request.headers.X-Team=search". The case is not validated: call Validate after the last Set. Errors
// match ErrInvalid and name the keys that exist.
func (c *Case) Set(assignment string) error {
	key, value, ok := strings.Cut(assignment, "=")
	if !ok {
		return &Problem{Key: assignment, Reason: "must be KEY=VALUE, such as targets.throughput_rps=80"}
	}
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	v := reflect.ValueOf(c).Elem()
	return descend(v, strings.Split(key, "."), key, func(leaf reflect.Value) error {
		return setScalar(leaf, key,
			value)
	})
}

// Number returns the number with a path such as "limits.error_budget". Errors match ErrInvalid.
func (c *Case) Number(key string) (float64, error) {
	var n float64
	err := descend(reflect.ValueOf(c).Elem(), strings.Split(key, "."), key, func(leaf reflect.Value) error {
		switch leaf.Kind() {
		case reflect.Int:
			n = float64(leaf.Int())
		case reflect.Float64:
			n = leaf.Float()
		default:
			return &Problem{Key: key, Reason: "must name a number"}
		}
		return nil
	})
	return n, err
}

// descend follows path from v and calls do with the value at its end, which do may set.
func descend(v reflect.Value, path []string, key string, do func(reflect.Value) error) error {
	if len(path) == 0 {
		return do(v)
	}
	name := path[0]
	switch v.Kind() {
	case reflect.Struct:
		fields := map[string]int{}
		for i := range v.NumField() {
			fields[yamlName(v.Type().Field(i))] = i
		}
		if i, ok := fields[name]; ok {
			return descend(v.Field(i), path[1:], key, do)
		}
		return unknown(key, name, slices.Sorted(maps.Keys(fields)))
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return descend(v.Elem(), path, key, do)
	case reflect.Map: // the values of a map cannot be set: change a copy and store it
		if elem := v.Type().Elem().Kind(); elem == reflect.String || elem == reflect.Interface {
			return descendNames(v, strings.Join(path, "."), do)
		}
		var keys []string
		for _, k := range v.MapKeys() {
			keys = append(keys, k.String())
			if k.String() == name {
				value := reflect.New(v.Type().Elem()).Elem()
				value.Set(v.MapIndex(k))
				err := descend(value, path[1:], key, do)
				v.SetMapIndex(k, value)
				return err
			}
		}
		slices.Sort(keys)
		return unknown(key, name, keys)
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Struct {
			return &Problem{Key: key, Reason: "is a list of plain values; set the whole of it, as KEY=[A, B]"}
		}
		var ids []string
		for i := range v.Len() {
			id := strconv.Itoa(i)
			if f := v.Index(i).FieldByName("ID"); f.IsValid() {
				id = f.String()
			}
			ids = append(ids, id)
			if id == name || strconv.Itoa(i) == name {
				return descend(v.Index(i), path[1:], key, do)
			}
		}
		return unknown(key, name, ids)
	}
	return &Problem{Key: key, Reason: fmt.Sprintf("has nothing below it called %q", name)}
}

// descendNames changes a value in a section with free names, or adds it.
func descendNames(v reflect.Value, name string, do func(reflect.Value) error) error {
	value := reflect.New(v.Type().Elem()).Elem()
	if have := v.MapIndex(reflect.ValueOf(name)); have.IsValid() {
		value.Set(have)
	}
	if err := do(value); err != nil {
		return err
	}
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	v.SetMapIndex(reflect.ValueOf(name), value)
	return nil
}

func yamlName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return name
}

func unknown(key, name string, known []string) error {
	return &Problem{Key: key, Reason: fmt.Sprintf("unknown key %q; known keys: %s", name,
		strings.Join(known, ", "))}
}

func setScalar(v reflect.Value, key, value string) error {
	switch v.Kind() {
	case reflect.String:
		v.SetString(value)
	case reflect.Int:
		n, err := strconv.ParseInt(value, 10, 32)
		if err != nil {
			return &Problem{Key: key, Reason: fmt.Sprintf("must be a whole number, got %q", value)}
		}
		v.SetInt(n)
	case reflect.Float64:
		n, err := strconv.ParseFloat(value, 64)
		if err != nil || !finite(n) {
			return &Problem{Key: key, Reason: fmt.Sprintf("must be a number, got %q", value)}
		}
		v.SetFloat(n)
	case reflect.Bool:
		b, err := strconv.ParseBool(value)
		if err != nil {
			return &Problem{Key: key, Reason: fmt.Sprintf("must be true or false, got %q", value)}
		}
		v.SetBool(b)
	case reflect.Interface: // a field of a request's body: JSON or, if it is not JSON, a string
		var x any
		if json.Unmarshal([]byte(value), &x) != nil {
			x = value
		}
		v.Set(reflect.ValueOf(&x).Elem())
	case reflect.Slice:
		return setList(v, key, value)
	case reflect.Pointer:
		target := reflect.New(v.Type().Elem())
		if err := setScalar(target.Elem(), key, value); err != nil {
			return err
		}
		v.Set(target)
	default:
		return &Problem{Key: key, Reason: "must name a single value: give the path of one inside it"}
	}
	return nil
}

// setList replaces a list of plain values, which is written as [A, B] or A,B. [] makes it empty.
func setList(v reflect.Value, key, value string) error {
	if v.Type().Elem().Kind() == reflect.Struct {
		return &Problem{Key: key, Reason: "must name a single value: give the path of one inside it"}
	}
	value = strings.TrimSuffix(strings.TrimPrefix(value, "["), "]")
	list := reflect.MakeSlice(v.Type(), 0, 0)
	for part := range strings.SplitSeq(value, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		elem := reflect.New(v.Type().Elem()).Elem()
		if err := setScalar(elem, key, part); err != nil {
			return err
		}
		list = reflect.Append(list, elem)
	}
	v.Set(list)
	return nil
}
