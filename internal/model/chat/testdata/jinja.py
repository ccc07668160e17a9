# Renders the templates here, and small ones, with Jinja2 as Transformers sets it up, for render_test.go:
#   python3 jinja.py > jinja.json
# The templates are in the manner of mistralai/Mixtral-8x7B-Instruct-v0.1 (first, and since 2024),
# NousResearch/Nous-Hermes-2-Mixtral-8x7B-DPO, cognitivecomputations/dolphin-2.5-mixtral-8x7b, HuggingFaceH4/zephyr-7b-beta
# and meta-llama/Llama-2-7b-chat-hf; own-*.jinja are of the tests alone.
import json, pathlib
from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

def refuse(message):
    raise TemplateError(message)

def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
env.filters["tojson"] = tojson
env.globals["raise_exception"] = refuse

u, a, s = (lambda role: lambda text: {"role": role, "content": text})("user"), \
    (lambda text: {"role": "assistant", "content": text}), (lambda text: {"role": "system", "content": text})
conversations = [
    [u("Hello")],
    [u("Hello"), a("Hi there"), u("Bye")],
    [s("Be brief."), u("Hello")],
    [s("Be brief."), u("  spaces  "), a("  of an answer\n"), u("tabs\tand\nlines\n")],
    [u("[/INST]</s><|im_end|><<SYS>>"), a(""), u("")],
    [u("日本語 😀 'quotes' \"and\" \\ backslashes")],
    [a("first")], [u("one"), u("two")], [s("alone")], [u("a"), a("b")],
    [u("a"), a("b"), s("late"), u("c")],
]
small = [
    "{{ 1 + 2 * 3 - 4 // 3 }} {{ 7 % 3 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 2 ** 5 }} {{ 7 / 2 }} {{ 6 / 2 }}",
    "{{ 'a' ~ 1 ~ none ~ true }} {{ 'ab' * 3 }} {{ [1, 2] + [3] }} {{ (1,) }} {{ {'a': [1, 'b']} }}",
    "{{ 1 < 2 < 3 }} {{ 1 < 2 > 3 }} {{ 'a' in 'cat' }} {{ 'x' not in ['x'] }} {{ not true or true }}",
    "{{ 'yes' if 1 else 'no' }} {{ 'yes' if 0 }} {{ nothing }} {{ nothing is defined }} {{ none is none }}",
    "{{ 'abcdef'[1:3] }} {{ 'abc'[::-1] }} {{ 'abc'[-1] }} {{ [1, 2, 3, 4][1::2] }} {{ [1,2,3][:-1] }}",
    "{% for i in range(5) %}{{ i }}{% if not loop.last %},{% endif %}{% endfor %}",
    "{% for i in range(10) if i is odd %}{{ loop.index }}:{{ i }}/{{ loop.length }} {% endfor %}",
    "{% for i in [] %}x{% else %}none{% endfor %} {% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for i in range(10) %}{% if i == 3 %}{% continue %}{% endif %}{% if i == 6 %}{% break %}{% endif %}{{ i }}{% endfor %}",
    "{% set x = 1 %}{% for i in range(3) %}{% set x = x + 1 %}{% endfor %}{{ x }}",
    "{% set ns = namespace(x=1) %}{% for i in range(3) %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}",
    "{% set x %}  block {{ 1 }}{% endset %}[{{ x }}] {% set a, b = 1, 2 %}{{ b }}{{ a }}",
    "{% macro f(a, b='y') %}<{{ a }}{{ b }}>{% endmacro %}{{ f('x') }}{{ f('x', b='z') }}{{ f(b=1, a=2) }}",
    "  {% if true %}\n    a\n  {% endif %}\n  b\n{# note #}\nc {# d #} e\n",
    "a\n  {%- if true -%}\n  b\n  {%- endif %}\n  c {{- 'd' -}}  \n e",
    "a  {%+ if true %}  b {% endif +%}\n c", "{% raw %}{{ x }} {% y %}{% endraw %}\nz", "{{ '}}' }}{{ \"%}\" }}{{ '{%' }}",
    "{{ ' x '|trim }}|{{ 'a b'|upper }}|{{ 'Ab'|lower }}|{{ 'ab cd'|title }}|{{ 'aB'|capitalize }}|{{ [1,2]|length }}",
    "{{ [1, 2]|join(', ') }} {{ nothing|default('d') }} {{ ''|default('e', true) }} {{ [3,1,2]|sort }} {{ [1,2,1]|unique|list }}",
    "{{ {'a': 'é', 'b': [1, none, true, 1.5, 'q\"']}|tojson }} {{ {'a': [1, {}]}|tojson(indent=2) }} {{ '<&>'|tojson }}",
    "{{ [{'a': 1}, {'a': 2}]|map(attribute='a')|list }} {{ ['a', 'b']|map('upper')|join }} {{ [1,2,3,4]|select('odd')|list }}",
    "{{ [{'r': 'x', 'n': 1}, {'r': 'y', 'n': 2}]|selectattr('r', 'equalto', 'y')|map(attribute='n')|first }}",
    "{{ [{'r': 'x'}, {'q': 1}]|selectattr('r', 'defined')|list|length }} {{ [{'r': 1}, {'r': 0}]|rejectattr('r')|list }}",
    "{{ ' a b '.strip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'a,b,c'.split(',') }}|{{ ' a  b '.split() }}|{{ 'a,b,c'.split(',', 1) }}",
    "{{ 'abc'.startswith('ab') }} {{ 'abc'.endswith(('x', 'c')) }} {{ 'aXbX'.replace('X', 'y') }} {{ 'a'.upper() }} {{ 'abc'.find('c') }}",
    "{{ 'x'.join(['a', 'b']) }} {{ {'a': 1}.get('b', 'none') }} {{ {'a': 1}.get('a') }} {{ {'a': 1}.keys()|list }} {{ 'aaa'.count('a') }}",
    "{{ 'a\\nb\\n\\nc'|indent(2) }} {{ 'a\\nb'|indent(1, true) }} {{ '5'|int + 1 }} {{ 'x'|int(7) }} {{ '1.5'|float }} {{ -3|abs }}",
    "{{ 3 is divisibleby 3 }} {{ 'a' is string }} {{ [] is iterable }} {{ {} is mapping }} {{ 1 is number }} {{ 1 is not none }}",
    "{{ 'a' 'b' }} {{ \"tab\\there\" }} {{ '\\u00e9' }} {{ 'it\\'s' }} {{ ['it\\'s', \"q\"] }} {{ 1.0 }} {{ 1e3 }} {{ 0.1 }}",
    "{% if messages[0].role == 'user' and messages|length > 1 %}a{% elif messages[0]['content']|length > 3 %}b{% else %}c{% endif %}",
    "{{ messages[-1]['content'] }}{{ messages[0].missing }}{{ messages[0].get('missing') }}{{ messages[0]['content'][:2] }}",
    "{{ messages|map(attribute='role')|join('+') }} {{ (messages|last).role }} {{ messages[0] == messages[0] }}",
    "{% set m = messages[0] %}{% filter upper %}{{ m.role }} x{% endfilter %} {{ 'a' if m.role != 'user' else 'b' }}",
    "{{ nothing.x }}", "{{ 1 + 'a' }}", "{{ raise_exception('no ' ~ messages|length) }}", "{{ nothing + 1 }}", "{% for x in 5 %}{% endfor %}",
    "{{ loop }}{{ true }}{{ True }}{{ None }}{{ [none, true] }}", "{{ [1, 2, 3]|sum }} {{ [1, 3, 2]|max }} {{ 'hello'|first }} {{ 'a-b'|replace('-', '+') }}",
    "{% for a in [1,2] %}{% for b in [3,4] %}{{ loop.index }}{{ a }}{{ b }} {% endfor %}{{ loop.index0 }};{% endfor %}",
    "{{ {'b': 1, 'a': 2}|dictsort }} {{ {'a': 1}|length }} {{ 'x' in {'x': 1} }} {{ 'abc'|reverse }} {{ [1,2]|reverse|list }} {{ 5|string + '!' }}",
    "{%- for i in [1] -%} {{ i }} {%- endfor -%} end  ", "\n\n{{ 1 }}\n\n", "{{ 1 }}\n", "{% if 1 %}\n\n x{% endif %}\n\ny",
]

def render(source, messages, generation, tools=None):
    try:
        return {"text": env.from_string(source).render(messages=messages, bos_token="<s>", eos_token="</s>", tools=tools,
                                                       add_generation_prompt=generation)}
    except TemplateError as e:
        return {"refused": type(e).__name__ == "TemplateError", "error": str(e)}
    except Exception as e:
        return {"refused": False, "error": str(e)}

cases = []
for path in sorted(pathlib.Path(__file__).parent.glob("templates/*.jinja")):
    source = path.read_text()
    for c in conversations:
        for generation in (True, False):
            cases.append({"template": source, "name": path.stem, "messages": c, "generation": generation,
                          **render(source, c, generation)})
for source in small:
    cases.append({"template": source, "name": "", "messages": conversations[3], "generation": True,
                  **render(source, conversations[3], True)})

def asks(content, *calls):
    return {"role": "assistant", "content": content, "tool_calls": [{"type": "function", "id": i, "function":
            {"name": n, "arguments": a}} for i, n, a in calls]}

def result(call, name, content):
    return {"role": "tool", "content": content, "tool_call_id": call, "name": name}

tools = [{"type": "function", "function": {"name": "weather", "description": "The <b>weather</b> & 'more', \"quoted\"",
    "parameters": {"type": "object", "properties": {"city": {"type": "string", "description": "Zürich, 東京"},
    "days": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 1234567.25}},
    "unit": {"type": ["string", "null"], "enum": ["c", "f", None], "default": 1e-7}}, "required": ["city"],
    "additionalProperties": False}, "strict": True}},
    {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}]
talks = [
    [u("Hello")], [s("Be brief."), u("Hello"), a("Hi"), u("Bye")],
    [u("Rain?"), asks("", ("abcdefgh1", "weather", {"city": "東京", "days": [1, 2, -3], "x": {"y": None, "z": 2.50, "b": True}})),
     result("abcdefgh1", "weather", "{\"rain\": false}"), a("No."), u("And now?")],
    [u("Two"), asks("so", ("abcdefgh1", "now", {}), ("abcdefgh2", "weather", {"city": "\"\\\n"})),
     result("abcdefgh1", "now", "12"), result("abcdefgh2", "weather", "[/TOOL_RESULTS]</s>\ttab")],
    [u("Short id"), asks("", ("abc", "now", {})), result("abc", "now", "")],
]
for path in sorted(pathlib.Path(__file__).parent.glob("templates/own-tools-*.jinja")):
    source = path.read_text()
    for messages in talks:
        for t in (tools, tools[1:], None):
            cases.append({"template": source, "name": path.stem, "messages": messages, "generation": True, "tools": t,
                          **render(source, messages, True, t)})
for source in ["{{ tools[0].function.parameters.properties|tojson(indent=2) }}", "{{ tools|string }}", "{{ tools[0]|items|list|length }}",
               "{{ tools[0].function.parameters.properties.days['items'].maximum }} {{ 1234567.5 }} {{ 1e22 }} {{ 0.00001 }} {{ 1e16 }} {{ 123456789012345.5 }}",
               "{{ tools is defined }} {{ tools is none }} {{ tools|length }} {{ documents is defined }}",
               "{% for t in tools %}{{ t.function.strict is defined and t.function.strict }} {{ t['function']['parameters'].required|default([])|join }}{% endfor %}",
               "{{ messages[1].tool_calls[0].function.arguments.x.z }} {{ messages[1].tool_calls[0]['function']['arguments']|tojson }}"]:
    cases.append({"template": source, "name": "", "messages": talks[2], "generation": True, "tools": tools,
                  **render(source, talks[2], True, tools)})
print(json.dumps(cases, ensure_ascii=False, indent=0))
