package judge

import (
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/base/noun"
)

// ms turns nanoseconds into milliseconds.
func ms(ns int64) float64 { return float64(ns) / 1e6 }

// seconds turns nanoseconds into seconds.
func seconds(ns int64) float64 { return float64(ns) / 1e9 }

// gib is the number of bytes in what the specification calls a GB.
const gib = 1 << 30

// num formats a number for readers.
func num(x float64) string { return report.Number(x) }

func count(n int) string { return num(float64(n)) }

// percent formats a share as a percentage.
func percent(x float64) string { return num(x*100) + " %" }

func plural(n int, one, many string) string {
	return count(n) + " " + noun.For(n, one, many)
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// significant rounds to nine significant digits. Later digits differ on architectures that fuse multiply and add, and
// reports are compared byte for byte.
func significant(x float64) float64 {
	if x == 0 || math.IsNaN(x) || math.IsInf(x, 0) {
		return 0
	}
	y, err := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 9, 64), 64)
	if err != nil {
		return x
	}
	return y
}

// tidy rounds every number of a report by reflection, so that no field can be forgotten.
func tidy(report any) { tidyValue(reflect.ValueOf(report)) }

func tidyValue(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			tidyValue(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; name != "Timestamp" { // Unix seconds need more than nine digits
				tidyValue(v.Field(i))
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			tidyValue(v.Index(i))
		}
	case reflect.Map:
		if v.Type().Elem().Kind() == reflect.Float64 {
			for _, k := range v.MapKeys() {
				v.SetMapIndex(k, reflect.ValueOf(significant(v.MapIndex(k).Float())))
			}
		}
	case reflect.Float64:
		v.SetFloat(significant(v.Float()))
	}
}
