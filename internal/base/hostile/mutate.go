package hostile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
)

// values replace the numbers and texts of JSON.
var values = []string{`0`, `-1`, `1`, `9223372036854775807`, `-9223372036854775808`, `18446744073709551616`, `1e400`,
	`0.5`, `null`, `true`, `""`, `"x"`, `"\u0000"`, `"\ud800"`, `[]`, `{}`, `[null]`, `{"":0}`, `[[[[[[[[]]]]]]]]`}

// JSON returns variants of a valid JSON text: each of its values replaced by each of the others, each key removed, and
// each key doubled, with the same value and with another. The order is always the same.
func JSON(honest []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for _, at := range places(honest) {
			value := honest[at.from:at.to]
			name := fmt.Sprintf("%.30s at %d", value, at.from)
			for _, v := range values {
				if !yield(name+" is "+v, splice(honest, at.from, at.to, v)) {
					return
				}
			}
			if at.key < 0 {
				continue
			}
			entry := string(honest[at.key:at.to])
			for _, v := range []struct{ what, text string }{{"twice", entry + "," + entry},
				{"twice, with another value", entry + "," + entry[:len(entry)-len(value)] + "7"},
				{"nothing", `"gone":0`}} {
				if !yield(name+" is there "+v.what, splice(honest, at.key, at.to, v.text)) {
					return
				}
			}
		}
	}
}

func splice(data []byte, from, to int, text string) []byte {
	return slices.Concat(data[:from], []byte(text), data[to:])
}

// place is the position of a value in a text, and of the key before it; -1 without a key.
type place struct{ key, from, to int }

// places finds the values of a JSON text, including nested ones.
func places(data []byte) (all []place) {
	d := json.NewDecoder(bytes.NewReader(data))
	var value func(key int)
	start := func() int { // of the next token
		at := int(d.InputOffset())
		return at + len(data[at:]) - len(bytes.TrimLeft(data[at:], " \t\r\n,:"))
	}
	value = func(key int) {
		from, mine := start(), len(all)
		all = append(all, place{})
		token, err := d.Token()
		if err != nil {
			panic(err)
		}
		if open, ok := token.(json.Delim); ok {
			for d.More() {
				at := -1
				if open == '{' {
					at = start()
					if _, err := d.Token(); err != nil {
						panic(err)
					}
				}
				value(at)
			}
			if _, err := d.Token(); err != nil {
				panic(err)
			}
		}
		all[mine] = place{key, from, int(d.InputOffset())}
	}
	value(-1)
	return all
}

// Binary returns variants of a valid binary file: cut off after every byte of its first part and at places after it;
// each byte of the first part replaced by others; each of its words of four and eight bytes replaced by the extreme
// values of such words; and parts of it doubled.
func Binary(honest []byte, first int) iter.Seq2[string, []byte] {
	first = min(first, len(honest))
	numbers := []uint64{0, 1, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32, 1<<63 - 1, 1 << 63, 1<<64 - 1,
		uint64(len(honest)), uint64(len(honest)) + 1}
	return func(yield func(string, []byte) bool) {
		for n := range first {
			if !yield(fmt.Sprint("cut after ", n), slices.Clone(honest[:n])) {
				return
			}
			for _, b := range []byte{0, 1, 0x7f, 0x80, 0xff, honest[n] ^ 1} {
				v := slices.Clone(honest)
				v[n] = b
				if !yield(fmt.Sprintf("byte %d is %#x", n, b), v) {
					return
				}
			}
			for _, size := range []int{4, 8} {
				for _, number := range numbers {
					v := slices.Clone(honest)
					for i := range min(size, len(v)-n) {
						v[n+i] = byte(number >> (8 * i))
					}
					if !yield(fmt.Sprintf("%d bytes from %d on are %#x", size, n, number), v) {
						return
					}
				}
			}
		}
		rng := rand.New(rand.NewPCG(1, 1))
		for range 50 {
			from, to := rng.IntN(len(honest)), rng.IntN(len(honest)+1)
			from, to = min(from, to), max(from, to)
			again := string(honest[from:to])
			if !yield(fmt.Sprintf("bytes %d to %d twice", from, to), splice(honest, to, to, again)) ||
				!yield(fmt.Sprintf("without bytes %d to %d", from, to), splice(honest, from, to, "")) ||
				!yield(fmt.Sprint("cut after ", to), slices.Clone(honest[:to])) {
				return
			}
		}
	}
}
