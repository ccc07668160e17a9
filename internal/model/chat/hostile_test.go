package chat

import (
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// TestHostileTemplates: a template that has no end, or makes too much, ends with ErrLimit, soon and in little memory.
func TestHostileTemplates(t *testing.T) {
	for name, source := range map[string]string{
		"loops": "{% for i in range(9999) %}{% for j in range(9999) %}" +
			"{% for k in range(9999) %}{% endfor %}{% endfor %}{% endfor %}",
		"range":     "{{ range(1000000000000)|length }}",
		"repeat":    "{{ 'xxxxxxxxxx' * 1000000000000 }}",
		"double":    "{% set ns = namespace(x='x') %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
		"recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
		"two macros": "{% macro f(n) %}{{ g(n) }}{{ g(n) }}{% endmacro %}" +
			"{% macro g(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}",
		"list":  "{% set l = [1] %}{% for i in range(60) %}{% set l2 = l.append(l) %}{% endfor %}{{ l }}",
		"lists": "{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
		"replace": "{% set ns = namespace(x='x') %}{% for i in range(60) %}" +
			"{% set ns.x = ns.x.replace('x', 'xxxxxxxx') %}{% endfor %}",
		"join":    "{{ range(9999)|join('" + strings.Repeat("x", 9999) + "') }}",
		"indent":  "{{ ('\\n' * 99999)|indent('" + strings.Repeat("x", 9999) + "') }}",
		"json":    "{% set d = {} %}{% set x = d.update({'d': d}) %}{{ d|tojson }}",
		"search":  "{% set s = 'ab' * 99999 %}{% for i in range(99999) %}{% set b = 'ba' * 99 in s %}{% endfor %}",
		"sort":    "{% for i in range(9999) %}{% set x = range(9999)|sort %}{% endfor %}",
		"slices":  "{% set s = 'a' * 99999 %}{% for i in range(99999) %}{% set b = s[1:] %}{% endfor %}",
		"uniques": "{{ range(99999)|unique|length }}",
	} {
		t.Run(name, func(t *testing.T) {
			tmpl, err := Compile(source)
			if err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			_, err = tmpl.Render(Conversation{Messages: []llm.Message{{Role: "user", Content: "hello"}}})
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			if !errors.Is(err, ErrLimit) {
				t.Errorf("%v", err)
			}
			if made := after.TotalAlloc - before.TotalAlloc; made > 512<<20 || took > 20*time.Second {
				t.Errorf("%d bytes, %v", made, took) // 20 s: a busy machine; alone it takes less than one
			}
		})
	}
}

// TestBadTemplates: what cannot be compiled says where.
func TestBadTemplates(t *testing.T) {
	for source, want := range map[string]string{
		"{{ 1": "line 1", "\n{% if %}": "line 2", "{% for x %}{% endfor %}": "must be in, got", "{% if 1 %}": "endif",
		"{{ 1 | nofilter }}": "nofilter", "{{ 1 is notest }}": "notest", "{% include 'x' %}": "include",
		"{{ (1 }}": "line 1", "{{ 'x }}": "no }}", "{# x": "no #}", "{% raw %}": "endraw", "{{ 1 2 }}": "unexpected",
		"{{ " + strings.Repeat("(", 9999) + strings.Repeat(")", 9999) + " }}":    "levels",
		"{{ " + strings.Repeat("-", 9999) + "1 }}":                               "levels",
		strings.Repeat("{% if 1 %}", 9999) + strings.Repeat("{% endif %}", 9999): "levels",
		"{% if 1 %}" + strings.Repeat("{% elif 1 %}", 9999) + "{% endif %}":      "levels",
		strings.Repeat("x", maxSource+1):                                         "bytes",
		"{{ x.(1) }}":                                                            "name",
		"{% endif %}":                                                            "endif", "{{}}": "unexpected",
		"{% set x %}": "endset", "{% macro f(1) %}{% endmacro %}": "name", "{{ x[1:2:3:4] }}": "colons",
		"{{ x[] }}": "index", "{{ {'a' 1} }}": `must be ":"`, "{{ 99999999999999999999 }}": "range", "{% %}": "empty",
	} {
		_, err := Compile(source)
		if !errors.Is(err, ErrTemplate) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", source, err, want)
		}
	}
}

// TestContentIsKnown: every byte of the messages is known as such, whatever a template does with it, and no byte of
// the template is.
func TestContentIsKnown(t *testing.T) {
	const theirOwn = "αβγδ"
	tmpl, err := Compile(`{%- for m in messages %}<{{ m.content|trim }}>{{ '[' + m['content'][1:] ~ ']' }}
{{- m.content.split('β')|join('-') }}{{ m.content.replace('γ', '+') }}{{ m.content|upper }}{{ [m.content] }}
{{- m.content|tojson }}{{ '%' * 2 }}{{ m.content|first }}{{ m.content|list|last }}
{{- m.content|reverse }}{% endfor %}`)
	if err != nil {
		t.Fatal(err)
	}
	property.Check(t, func(r *rapid.T) {
		content := rapid.StringOf(rapid.SampledFrom([]rune(theirOwn+" "))).Draw(r, "content")
		parts, err := tmpl.Render(Conversation{Messages: []llm.Message{{Role: "user", Content: content}}})
		if err != nil {
			r.Fatal(err)
		}
		for _, p := range parts {
			if !p.Content && strings.ContainsAny(p.Text, theirOwn+strings.ToUpper(theirOwn)) {
				r.Fatalf("%q of the messages counts as the template's, in %+v", p.Text, parts)
			}
			if p.Content && strings.ContainsAny(p.Text, "<>%") {
				r.Fatalf("%q of the template counts as the messages', in %+v", p.Text, parts)
			}
		}
	})
}

// FuzzTemplate: any source compiles or says why not, and renders within the limits.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"{{ messages[0].content|trim }}", "{% for m in messages %}{{ m }}{% endfor %}",
		"{%- if x is defined -%}{{ x }}{%- endif %}", "{% set a, b = 1, 2 %}{{ a ~ b }}",
		"{% macro f(x=1) %}{% endmacro %}",
		"{% raw %}{{{% endraw %}", "{{ 'a'[::-1] }}{# #}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		tmpl, err := Compile(source)
		if err != nil {
			if !errors.Is(err, ErrTemplate) {
				t.Fatal(err)
			}
			return
		}
		if _, err := tmpl.Render(Conversation{Messages: []llm.Message{{Role: "user", Content: "x"},
			{Role: "assistant", Content: "y"}}}); err != nil &&
			!errors.Is(err, ErrTemplate) && !errors.Is(err, ErrLimit) && !errors.Is(err, ErrRefused) {
			t.Fatal(err)
		}
	})
}
