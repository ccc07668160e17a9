package grammar

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"
)

// hostile are sources that a careless compiler would spend hours or gigabytes on.
func hostile() map[string]Spec {
	chain := func(n int, rule func(i int) string) string {
		var s strings.Builder
		for i := range n {
			s.WriteString(rule(i))
		}
		return s.String()
	}
	var names []string
	for i := range 3000 {
		names = append(names, fmt.Sprintf(`"p%d":{"type":"string","pattern":"a%d.*b"}`, i, i))
	}
	doubling := `{"$defs":{` + chain(40, func(i int) string {
		return fmt.Sprintf(`"d%d":{"type":"object","properties":{"l":{"$ref":"#/$defs/d%d"},"r":{"$ref":"#/$defs/d%d"}},
			"required":["l","r"]},`, i, i+1, i+1)
	}) + `"d40":{"type":"string"}},"$ref":"#/$defs/d0"}`
	return map[string]Spec{
		"ref chain": {Kind: JSONSchema, Source: `{"$defs":{` + chain(5000, func(i int) string {
			return fmt.Sprintf(`"d%d":{"$ref":"#/$defs/d%d"},`, i, i+1)
		}) + `"d5000":{"type":"null"}},"$ref":"#/$defs/d0"}`},
		"ref cycle": {Kind: JSONSchema, Source: `{"$defs":{` + chain(500, func(i int) string {
			return fmt.Sprintf(`"d%d":{"allOf":[{"$ref":"#/$defs/d%d"}]},`, i, (i+1)%500)
		}) + `"x":true},"$ref":"#/$defs/d0"}`},
		"doubling":      {Kind: JSONSchema, Source: doubling},
		"deep document": {Kind: JSONSchema, Source: strings.Repeat(`{"items":`, 5000) + `{}` + strings.Repeat(`}`, 5000)},
		"enum of 50,000": {Kind: JSONSchema, Source: `{"enum":[` + chain(50_000, func(i int) string {
			return fmt.Sprintf(`"value %d",`, i*7919)
		}) + `"x"]}`},
		"two enums": {Kind: JSONSchema, Source: `{"allOf":[{"enum":[` + chain(20_000, func(i int) string { return fmt.Sprintf(`%d,`, i) }) +
			`1]},{"enum":[` + chain(20_000, func(i int) string { return fmt.Sprintf(`%d.0,`, i) }) + `1]}]}`},
		"allOf of anyOf": {Kind: JSONSchema, Source: `{"allOf":[` + chain(30, func(i int) string {
			return fmt.Sprintf(`{"anyOf":[{"required":["a%d"]},{"required":["b%d"]}]},`, i, i)
		}) + `{"type":"object"}]}`},
		"3,000 patterns": {Kind: JSONSchema, Source: `{"type":"object","properties":{` + strings.Join(names, ",") + `}}`},
		"1,000 different values": {Kind: JSONSchema, Source: `{"type":"array","uniqueItems":true,"items":{"enum":[` +
			chain(999, func(i int) string { return fmt.Sprintf(`"v%d",`, i) }) + `1]}}`},
		"1,000 different integers": {Kind: JSONSchema,
			Source: `{"type":"array","uniqueItems":true,"items":{"type":"integer","minimum":0,"maximum":998}}`},
		"2,000 arrays that differ": {Kind: JSONSchema, Source: `{"type":"object","properties":{` + chain(2000,
			func(i int) string {
				return fmt.Sprintf(`"p%d":{"uniqueItems":true,"minItems":900,"items":{"properties":{"q%d":{"type":"number"}}}},`, i, i)
			}) + `"x":{}}}`},
		"arrays that differ within each other": {Kind: JSONSchema, Source: `{"uniqueItems":true,"minItems":90000,"items":` +
			strings.Repeat(`{"minItems":2,"items":`, 100) + `{"type":"string"}` + strings.Repeat("}", 100) + `}`},
		"60,000 unknown keywords": {Kind: JSONSchema, Source: `{` + chain(60_000, func(i int) string {
			return fmt.Sprintf(`"k%d":1,`, i)
		}) + `"type":"null"}`},
		"patternProps": {Kind: JSONSchema, Source: `{"patternProperties":{` + chain(30,
			func(i int) string { return fmt.Sprintf(`".*a%d.{9}":{},`, i) }) + `"x":{}}}`},
		"long string":     {Kind: JSONSchema, Source: `{"type":"string","minLength":90000,"maxLength":100000}`},
		"longer":          {Kind: JSONSchema, Source: `{"type":"string","minLength":1e9}`},
		"pattern, length": {Kind: JSONSchema, Source: `{"type":"string","pattern":"(a|b)*a(a|b){12}","maxLength":3000}`},
		"big multipleOf":  {Kind: JSONSchema, Source: `{"type":"integer","multipleOf":123456789}`},
		"long number":     {Kind: JSONSchema, Source: `{"minimum":1e400000000}`},
		"far limits":      {Kind: JSONSchema, Source: `{"type":"number","minimum":-1.8e308,"maximum":1.8e308}`},
		"farther":         {Kind: JSONSchema, Source: `{"type":"number","minimum":1.7e300,"maximum":1.8e308}`},
		"far integers":    {Kind: JSONSchema, Source: `{"type":"integer","minimum":-1.8e308,"maximum":1.8e308}`},
		"oneOf of 400": {Kind: JSONSchema, Source: `{"oneOf":[` + chain(400, func(i int) string {
			return fmt.Sprintf(`{"required":["a%d","b%d"],"properties":{"c":{"minLength":%d}}},`, i, i, i)
		}) + `{"required":["x"]}]}`},
		"dependencies": {Kind: JSONSchema, Source: `{"dependencies":{` + chain(300, func(i int) string {
			return fmt.Sprintf(`"a%d":{"required":["b%d"]},`, i, i)
		}) + `"x":["y"]}}`},
		"10,000 ids": {Kind: JSONSchema, Source: `{"$defs":{` + chain(10_000, func(i int) string {
			return fmt.Sprintf(`"a%d":{"$id":"http://x.org/%d/","$ref":"../%d/"},`, i, i, i+1)
		}) + `"x":true},"$ref":"http://x.org/0/"}`},
		"looks":             {Kind: Regex, Source: strings.Repeat(`(?=.*a.{10}b)(?!.*c.{10}d)`, 30) + `.*`},
		"nested looks":      {Kind: Regex, Source: strings.Repeat(`(?=a?`, 300) + strings.Repeat(`)`, 300) + `.*`},
		"looks of looks":    {Kind: Regex, Source: `(` + strings.Repeat(`(?=(?=.*x)(?!.*y)(?=z?))a?|`, 20) + `b){1}.*`},
		"exponential":       {Kind: Regex, Source: `(a|b)*a(a|b){20}`},
		"exponential, long": {Kind: Regex, Source: `(.*a.{900}|.*b.{90})`},
		"nested repeats":    {Kind: Regex, Source: `((a{0,30}){0,30}b?){0,1}`},
		"nested stars":      {Kind: Regex, Source: strings.Repeat("(", 200) + "a" + strings.Repeat(")*", 200)},
		"10,000 groups":     {Kind: Regex, Source: strings.Repeat("(a?b?)", 10_000)},
		"counts of counts":  {Kind: GBNF, Source: `root ::= ((("a"{0,99999} "b"?){0,99999}){0,99999}){0,99999}`},
		"ambiguous":         {Kind: GBNF, Source: "root ::= s\ns ::= s s s | s s | \"a\" | \"\""},
		"ambiguous calls":   {Kind: GBNF, Source: "root ::= \"a\" root \"a\" | \"a\" root \"b\" | \"a\" root | \"a\""},
		"rule chain": {Kind: GBNF, Source: "root ::= r0\n" + chain(15_000,
			func(i int) string { return fmt.Sprintf("r%d ::= r%d\n", i, i+1) }) + "r15000 ::= \"a\""},
		"nullable chain": {Kind: GBNF, Source: "root ::= r0\n" + chain(15_000,
			func(i int) string { return fmt.Sprintf("r%d ::= r%d?\n", i, i+1) }) + "r15000 ::= \"a\""},
		"left recursive rules": {Kind: GBNF, Source: "root ::= r0\n" + chain(3000, func(i int) string {
			return fmt.Sprintf("r%d ::= r%d \"x\" | r%d \"y\" | \"a\"\n", i, (i+1)%3000, (i+7)%3000)
		})},
		"parentheses":  {Kind: GBNF, Source: "root ::= " + strings.Repeat("(", 100_000)},
		"a megabyte":   {Kind: GBNF, Source: "root ::= \"" + strings.Repeat("a", 900_000) + "\""},
		"too long":     {Kind: GBNF, Source: "root ::= \"" + strings.Repeat("a", 2_000_000) + "\""},
		"alternatives": {Kind: GBNF, Source: "root ::= " + strings.Repeat("\"a\" | ", 100_000) + "\"a\""},
		"many classes": {Kind: GBNF, Source: "root ::= " + strings.Repeat("[^a-z日]{3,9} ", 5_000)},
		"long choices": {Kind: Choice, Choices: strings.Fields(strings.Repeat(strings.Repeat("ab", 200)+" ", 2000))},
		"lark repeats": {Kind: Lark, Source: "start: ((\"a\"~0..9999)~0..9999)~0..9999"},
	}
}

// TestHostileSources: whatever comes, compiling and following an answer for a while take bounded time and memory, and
// what is refused for that says so.
func TestHostileSources(t *testing.T) {
	v, _ := vocabulary(t, 600)
	for name, spec := range hostile() {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			from := cpu()
			g, err := Compile(spec, v)
			if err == nil {
				err = wander(g, rand.New(rand.NewPCG(1, 1)), 60)
			}
			took := time.Duration(cpu() - from)
			runtime.ReadMemStats(&after)
			if err != nil && !isCostly(err) && !strings.Contains(err.Error(), "refers to itself") &&
				!strings.Contains(err.Error(), "can never end") &&
				!strings.Contains(err.Error(), "not supported") {
				t.Errorf("%v", err)
			}
			allocated := (after.TotalAlloc - before.TotalAlloc) >> 20
			t.Logf("%v, %d MB, %v", took, allocated, err)
			if took > 10*time.Second || allocated > 2000 {
				t.Errorf("took %v and allocated %d MB", took, allocated)
			}
		})
	}
}

// wander follows random tokens.
func wander(g *Grammar, rng *rand.Rand, n int) error {
	m := g.Start(false)
	for range n {
		if m.Ended() {
			return nil
		}
		mask, err := m.Allowed()
		if err != nil {
			return err
		}
		id := pick(mask, rng)
		if id < 0 || id == g.w.v.ends[0] {
			return nil
		}
		if err := m.Accept(id); err != nil {
			return err
		}
		if _, err := m.Forced([]int32{id}, func(string) []int32 { return nil }); err != nil {
			return err
		}
	}
	return nil
}
