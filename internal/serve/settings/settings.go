package settings

import (
	"reflect"
	"strconv"

	"github.com/hxp-enterprise/mixtral/internal/base/yamlfile"
)

// Problem is an error about one setting.
type Problem struct {
	Place   string // "mixtral.yaml:3", the name of an environment variable, or empty
	Key     string
	Value   string // as given; empty if Key is unknown
	Allowed string // "must be an integer"; empty if Key is unknown
}

// Keys lists the keys of a struct in the order of its fields. A field whose tag is "-" has none.
func Keys(t reflect.Type) []string { return yamlfile.Keys(t) }

// field finds the field of a key in the struct that to points to.
func field(to any, key string) (reflect.Value, bool) {
	return yamlfile.Field(reflect.ValueOf(to).Elem(), key)
}

// mustBe says what a value for a kind of field must be.
var mustBe = map[reflect.Kind]string{
	reflect.String: "must be text", reflect.Int: "must be an integer", reflect.Float64: "must be a number",
	reflect.Bool: "must be true or false",
}

// Same says whether a key has the same value in two structs of one type.
func Same(a, b any, key string) bool {
	x, ok := field(a, key)
	y, _ := field(b, key)
	return ok && x.Interface() == y.Interface()
}

// Set sets a key of the struct that to points to from text. It returns nil on success.
func Set(to any, key, value string) *Problem {
	f, ok := field(to, key)
	if !ok {
		return &Problem{Key: key}
	}
	var err error
	switch f.Kind() {
	case reflect.String:
		f.SetString(value)
	case reflect.Int:
		var n int
		if n, err = strconv.Atoi(value); err == nil {
			f.SetInt(int64(n))
		}
	case reflect.Float64:
		var x float64
		if x, err = strconv.ParseFloat(value, 64); err == nil {
			f.SetFloat(x)
		}
	case reflect.Bool:
		var b bool
		if b, err = strconv.ParseBool(value); err == nil {
			f.SetBool(b)
		}
	}
	if err != nil {
		return &Problem{Key: key, Value: strconv.Quote(value), Allowed: mustBe[f.Kind()]}
	}
	return nil
}
