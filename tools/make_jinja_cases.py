"""make_jinja_cases.py: writes tests/jinja_cases.json, what transformers' Jinja makes of small
templates. Needs a Python with transformers; the cases that only nibble has are in the unit tests."""
import json
import pathlib

from transformers.utils.chat_template_utils import _compile_jinja_template

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests/jinja_cases.json"

VARIABLES = {
    "s": "Hello, World", "u": "Größe 你好 ß", "e": "", "n": 7, "m": -3, "x": 2.5, "t": True, "f": False,
    "z": None, "l": [3, 1, 2], "w": ["b", "A", "c", "a"], "d": {"b": 1, "a": {"k": [1, "two", None, 1.5]}, "C": True},
    "messages": [{"role": "user", "content": "Hi", "age": 3}, {"role": "assistant", "content": "Yo", "age": 1},
                 {"role": "user", "content": "Bye <b>&'\"", "age": 2}],
    "nested": [[1, [2, 3]], [4, []]], "q": "it's \"so\"\n\ttab\\ \u200b\x7f€", "spaces": "  a  b \n c ",
    "tree": [{"n": "a", "kids": [{"n": "b", "kids": []}, {"n": "c", "kids": [{"n": "d", "kids": []}]}]}],
}

# One template a line, white space that matters apart.
CASES = r"""
{{ s }}|{{ u }}|{{ n }}|{{ x }}|{{ t }}|{{ z }}|{{ nope }}
{{ 1 + 2 * 3 - 4 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 2 ** 3 ** 2 }}
{{ 7.5 // 2 }} {{ -7.5 % 2 }} {{ 1 / 3 }} {{ 1e16 }} {{ 1e15 }} {{ 1e-5 }} {{ 0.0001 }} {{ 123456789.125 }} {{ 1e100 }} {{ -0.0 }}
{{ 0x1F }} {{ 0b101 }} {{ 0o17 }} {{ 1_000 }} {{ 1.5e3 }} {{ 1_0.5 }}
{{ "a" ~ 1 ~ none ~ true ~ 2.0 ~ nope }} {{ "a" + "b" }} {{ [1] + [2] }} {{ (1,) + (2, 3) }} {{ "ab" * 3 }} {{ 3 * [0] }}
{{ l }} {{ d }} {{ (1,) }} {{ () }} {{ (1, "a") }} {{ {} }} {{ {"a": 1, 2: "b", none: 3.5} }} {{ [none, true] }}
{{ q }}{{ [q] }}
{{ ["a'b", 'a"b', 'a\'b"c', "\n\\"] }}
{{ s[0] }} {{ s[-1] }} {{ s[100] }} {{ u[2:4] }} {{ u[::-1] }} {{ s[:5] }} {{ s[-5:] }} {{ s[1:8:2] }} {{ l[::-1] }} {{ l[1:] }} {{ l[-2:-1] }} {{ l[5:] }}
{{ d.a.k[1] }} {{ d["a"]["k"][-1] }} {{ d.nope }} {{ d["nope"] is defined }} {{ l.0 }} {{ l[true] }}
{{ d.keys() | list }} {{ d.items() | list }} {{ d.values() | list }} {{ d.keys() }} {{ d.get("b") }} {{ d.get("x", 9) }} {{ d.get("x") }}
{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 == true }} {{ "a" < "b" }} {{ [1, 2] < [1, 3] }} {{ none == none }} {{ nope == nope2 }} {{ "1" == 1 }}
{{ 2 in l }} {{ 5 not in l }} {{ "lo" in s }} {{ "b" in d }} {{ "x" in nope }} {{ "" in "" }}
{{ not t }} {{ t and f }} {{ e or "x" }} {{ 0 and 1 }} {{ t and "y" }} {{ none or 0 or [] }} {{ not not s }}
{{ "a" if t }} {{ "a" if f }} {{ "a" if f else "b" }} {{ "a" if f else "b" if f else "c" }}
{% if f %}a{% elif t %}b{% else %}c{% endif %}{% if nope %}x{% endif %}{% if l and d %}y{% endif %}
{% for i in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }} {% endfor %}
{% for i in l %}{{ loop.previtem }}-{{ i }}-{{ loop.nextitem }};{% endfor %}
{% for i in [] %}x{% else %}empty{% endfor %}{% for i in nope %}x{% else %}none{% endfor %}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k in d %}{{ k }}{% endfor %}{% for c in u %}[{{ c }}]{% endfor %}
{% for i in range(10) if i % 2 %}{{ loop.index }}:{{ i }} {% endfor %}
{% for i in range(10) %}{% if i == 3 %}{% continue %}{% endif %}{% if i == 6 %}{% break %}{% endif %}{{ i }}{% endfor %}
{% for a, (b, c) in [(1, (2, 3)), (4, (5, 6))] %}{{ a }}{{ b }}{{ c }} {% endfor %}
{% for i in l %}{{ loop.cycle("a", "b") }}{{ loop.changed(i // 2) }} {% endfor %}
{% for i in l recursive %}{{ i }}{% endfor %}
{% for x in tree recursive %}{{ x.n }}{{ loop.depth }}{{ loop(x.kids) if x.kids }}{% endfor %}
{% set a = 1 %}{% for i in l %}{% set a = i %}{{ a }}{% endfor %}{{ a }}
{% for i in l %}{{ y }}{% set y = i %}{{ y }} {% endfor %}{{ y }}
{% if t %}{% set k = 5 %}{% endif %}{{ k }}
{% set ns = namespace(c=0, l=[]) %}{% for i in l %}{% set ns.c = ns.c + i %}{% set ns.l = ns.l + [i] %}{% endfor %}{{ ns.c }} {{ ns.l }} {{ ns.nope is defined }}
{% set ns = namespace({"a": 1}, b=2) %}{{ ns.a }}{{ ns.b }}{{ ns["a"] }}{{ ns }}
{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set a = (1, 2) %}{{ a }}
{% set x %}in {{ s }}{% endset %}[{{ x }}]{% set y | upper | trim %} abc {% endset %}[{{ y }}]
{% macro m(a, b=2, c=a) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(1, c=4) }} {{ m() }} {{ m(b=1, a=0) }}
{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}
{% macro m() %}<{{ caller("y") }}>{% endmacro %}{% call(z) m() %}{{ z }}{{ s }}{% endcall %}
{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(4) }}
{% macro m(x) %}{{ later }}{% endmacro %}{% set later = 5 %}{{ m(1) }}{{ m.name }}
{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{% endmacro %}{{ m(b=2) }}
{% with a = 1, b = s %}{{ a }}{{ b }}{% set a = 2 %}{{ a }}{% endwith %}{{ a }}
{% filter upper %}abc {{ s }}{% endfilter %}{% filter replace("a", "b") | upper %}aXa{% endfilter %}
{% generation %}x{{ s }}{% set q = 1 %}{% endgeneration %}{{ q }}
{% raw %}{{ not }} {% if %}{% endraw %}|{% raw -%}  a  {%- endraw %}
{# comment #}a{#- c -#} b {#- c #} c
{{ s | upper }}{{ s | lower }}{{ "abc DEF" | capitalize }}{{ "hello wORLD-it's (x)" | title }}{{ spaces | trim }}|{{ "xxaxx" | trim("x") }}
{{ u | upper }} {{ u | lower }} {{ u | length }} {{ "ÉCOLE" | lower }}
{{ nope | default("d") }} {{ e | default("d") }} {{ e | default("d", true) }} {{ z | default("d") }} {{ z | d("d", boolean=true) }} {{ nope | default }}
{{ l | join(",") }} {{ l | join }} {{ messages | join("|", attribute="role") }} {{ [1, none, true, 1.5] | join("-") }} {{ "abc" | join("-") }}
{{ l | sort }} {{ l | sort(reverse=true) }} {{ w | sort }} {{ w | sort(case_sensitive=true) }} {{ messages | sort(attribute="age") | map(attribute="content") | list }}
{{ l | first }} {{ l | last }} {{ [] | first }} {{ "abc" | first }} {{ "abc" | last }} {{ l | min }} {{ l | max }} {{ l | sum }} {{ messages | sum(attribute="age") }} {{ l | sum(start=10) }}
{{ l | reverse | list }} {{ "abc" | reverse }} {{ l | length }} {{ d | count }} {{ w | unique | list }} {{ ["a", "A", "b"] | unique | list }} {{ ["a", "A"] | unique(true) | list }}
{{ messages | map(attribute="role") | list }} {{ w | map("upper") | join }} {{ messages | map(attribute="nope", default="x") | list }} {{ l | map("string") | list }}
{{ messages | selectattr("role", "equalto", "user") | list | length }} {{ messages | rejectattr("role", "eq", "user") | map(attribute="content") | first }} {{ messages | selectattr("nope") | list }} {{ messages | selectattr("age", ">", 1) | map(attribute="age") | list }}
{{ range(6) | select("odd") | list }} {{ range(6) | reject("even") | list }} {{ [0, 1, "", "a"] | select | list }} {{ range(9) | select("divisibleby", 3) | list }}
{{ d | dictsort }} {{ {"b": 1, "a": 2} | dictsort(by="value") }} {{ {"b": 1, "a": 2} | dictsort(reverse=true) }} {{ {"B": 1, "a": 2} | dictsort(true) }}
{{ d | items | list }} {{ nope | items | list }}
{% for g in messages | groupby("role") %}{{ g.grouper }}:{{ g.list | length }} {{ g[0] }};{% endfor %}
{% for r in range(7) | batch(3, "-") %}{{ r }}{% endfor %}{% for r in range(4) | batch(3) %}{{ r }}{% endfor %}
{{ "42" | int }} {{ "4.7" | int }} {{ "x" | int }} {{ "x" | int(5) }} {{ "1f" | int(base=16) }} {{ 3.9 | int }} {{ -3.9 | int }} {{ true | int }} {{ none | int }} {{ " 7 " | int }} {{ "1_0" | int }}
{{ "1.5" | float }} {{ 3 | float }} {{ "x" | float }} {{ "x" | float(1.5) }} {{ -3 | abs }} {{ x | abs }} {{ 2.567 | round }} {{ 2.567 | round(2) }} {{ 2.5 | round }} {{ 2.1 | round(method="ceil") }} {{ 5 | round }} {{ 1.005 | round(2) }}
{{ d | tojson }} {{ l | tojson }} {{ u | tojson }} {{ u | tojson(ensure_ascii=true) }} {{ q | tojson }} {{ q | tojson(true) }} {{ 1.0 | tojson }} {{ {1: 2, none: 3, true: 4, 1.5: 5} | tojson }}
{{ d | tojson(indent=2) }} {{ [] | tojson(indent=2) }} {{ {"a": []} | tojson(indent=1) }} {{ d | tojson(separators=(",", ":")) }} {{ d | tojson(sort_keys=true) }} {{ (1, 2) | tojson }} {{ "</b>" | tojson }} {{ d | tojson(indent="--") }}
{{ nope | tojson }}
{{ s | replace("l", "L") }} {{ s | replace("l", "L", 2) }} {{ "aaa" | replace("a", "b", count=1) }} {{ 112 | replace("1", "x") }} {{ "abc" | replace("", "-") }}
{{ "a\nb\n\nc" | indent }}|{{ "a\nb\n\nc" | indent(2, true) }}|{{ "a\n\nb" | indent(2, blank=true) }}|{{ "a\nb" | indent(">>") }}|{{ "a\n" | indent(2) }}|
{{ "ab" | center(7) }}| {{ "foo bar baz qux" | truncate(9) }} {{ "foo bar baz qux" | truncate(9, true) }} {{ "foo bar" | truncate(9) }} {{ "foo bar baz qux" | truncate(11, leeway=0, end="!") }}
{{ "a b  c-d" | wordcount }} {{ "<a&'\">" | escape }} {{ "a b/c?ü" | urlencode }} {{ 1 | string }} {{ "<" | safe }}
{{ "%s-%d-%5.2f|%-5s|%05d|%+d|%x|%%" | format("a", 3, 2.345, "b", 42, 7, 255) }} {{ "%(a)s" | format(a=1) }} {{ "%s" % s }} {{ "%s %s" % (1, 2) }} {{ "%r" % "a" }} {{ "%5s|%.2s" % ("ab", "abc") }} {{ "%e" % 12345.678 }} {{ "%g" % 0.0001 }} {{ "%c" % 65 }}
{{ "{} {}".format(1, "a") }} {{ "{1}{0}".format(1, 2) }} {{ "{a}".format(a=s) }} {{ "{:>5}|{:<5}|{:^5}|{:*^7}".format("a", "b", "c", "d") }} {{ "{:05d} {:,} {:.2f} {:x} {:+} {:e} {:.1%}".format(42, 1234567, 3.14159, 255, 5, 12345.678, 0.256) }} {{ "{{}}".format() }} {{ "{0[a]} {0[k].x}".format({"a": 1, "k": {"x": 2}}) }}
{{ "{!r:>5} {:{w}}|".format("a", "b", w=4) }} {{ "{:_}".format(1234567) }} {{ "{:#x} {:b} {:o}".format(255, 5, 8) }} {{ "{:g} {:g}".format(0.1, 1e20) }} {{ "{:.3}".format("abcdef") }} {{ "{:10.3f}|".format(3.14159) }} {{ "{}".format(none) }}
{{ s.upper() }} {{ s.lower() }} {{ s.split(", ") }} {{ "a b  c ".split() }} {{ "a,b,c".split(",", 1) }} {{ "a,b,c".rsplit(",", 1) }} {{ " a b c ".split(none, 1) }} {{ " a b c ".rsplit(none, 1) }} {{ "".split() }} {{ "".split(",") }}
{{ "  x ".strip() }}|{{ "xxaxx".strip("x") }}|{{ "  x ".lstrip() }}|{{ "  x ".rstrip() }}|{{ "abcabc".lstrip("ab") }}|{{ "\n\na\n".strip("\n") }}|{{ "äxä".strip("ä") }}
{{ s.startswith("He") }} {{ s.endswith(("x", "ld")) }} {{ s.startswith("l", 2) }} {{ s.find("o") }} {{ s.rfind("o") }} {{ s.find("zz") }} {{ s.count("l") }} {{ s.index("W") }} {{ u.find("好") }} {{ "aaa".count("aa") }} {{ "abc".count("") }}
{{ s.replace("l", "") }} {{ s.replace("l", "1", 1) }} {{ "ab".replace("", "-") }} {{ s.title() }} {{ "they're bill's".title() }} {{ "abc".capitalize() }} {{ "aBc".swapcase() }} {{ "a\tb".expandtabs(4) }}
{{ "a".center(4, "*") }} {{ "ab".center(5, "*") }} {{ "a".ljust(3, ".") }} {{ "a".rjust(3) }} {{ "7".zfill(3) }} {{ "-7".zfill(4) }} {{ "abc".removeprefix("a") }} {{ "abc".removesuffix("c") }} {{ "-".join(["a", "b"]) }} {{ "a-b-c".partition("-") }} {{ "a-b-c".rpartition("-") }} {{ "abc".partition("x") }}
{{ "a\nb\r\nc".splitlines() }} {{ "a\nb\n".splitlines(true) }} {{ "12".isdigit() }} {{ "a1".isalnum() }} {{ "ab".isalpha() }} {{ " \t".isspace() }} {{ "AB".isupper() }} {{ "ab".islower() }} {{ "".isdigit() }} {{ "Ab1".isupper() }} {{ "é".isascii() }}
{{ [1, 2, 1].count(1) }} {{ [1, 2].index(2) }} {{ (1, 2).count(3) }} {{ d.copy() == d }}
{{ s is string }} {{ n is number }} {{ n is integer }} {{ x is float }} {{ t is boolean }} {{ t is integer }} {{ t is number }} {{ z is none }} {{ d is mapping }} {{ l is sequence }} {{ s is sequence }} {{ d is sequence }} {{ n is iterable }} {{ l is iterable }} {{ nope is undefined }} {{ nope is defined }} {{ nope is iterable }} {{ nope is sequence }} {{ d.items() is sequence }} {{ d.items() is iterable }}
{{ 3 is odd }} {{ 4 is even }} {{ 9 is divisibleby(3) }} {{ 9 is divisibleby 4 }} {{ "a" is lower }} {{ "A" is upper }} {{ t is true }} {{ f is false }} {{ 1 is true }} {{ 2 is in l }} {{ 1 is eq 1 }} {{ 1 is lessthan(2) }} {{ 1 is not none }} {{ s is not string }} {{ "upper" is filter }} {{ "nope" is filter }} {{ z is sameas none }} {{ range is callable }} {{ s is callable }}
{{ l is sequence and l is not mapping and l is not string }}
{{ range(3) }} {{ range(1, 4) | list }} {{ range(5, 0, -2) | list }} {{ range(3)[1] }} {{ range(3) | length }} {{ range(0) is defined }} {{ range(5)[1:3] | list }}
{{ dict(a=1, b=2) }} {{ dict({"a": 1}, b=2) }} {{ dict([("a", 1)]) }} {{ dict() }}
{{ raise_exception("boom") }}
{{ nope.x }}
{{ nope["x"] }}
{{ nope() }}
{{ nope + 1 }}
{{ d.nope.x }}
{{ none.x }}{{ z.y is defined }}
{{ "a" + 1 }}
{{ 1 + "a" }}
{{ 1 / 0 }}
{{ [1] + (2,) }}
{{ 1 < "a" }}
{{ none | length }}
{{ 5 | length }}
{% for x in none %}{% endfor %}
{% for x in 5 %}{% endfor %}
{% for a, b in [1] %}{% endfor %}
{% for a, b in [[1, 2, 3]] %}{% endfor %}
{{ l.append(4) }}
{{ d.pop("a") }}
{{ d.update({}) }}
{{ s.nope() }}
{{ "" | nope }}
{{ 1 is nope }}
{{ s | upper(1) }}
{{ "a".join([1]) }}
{{ "{}".format() }}
{{ "%d" % "a" }}
{{ "%s" % (1, 2) }}
{{ {[]: 1} }}
{{ 1 in 5 }}
{{ 1 in "a" }}
{% set d.x = 1 %}
{% set ns = namespace() %}{% set ns._x = 1 %}
{{ range(200000) }}
{% if %}{% endif %}
{% for %}{% endfor %}
{% endif %}
{% if t %}
{% frobnicate %}
{{ 1 +
{{ (1, 2 }}
{{ 'abc }}
{% break %}
{{ 1 2 }}
{{ a b }}
{% set 1 = 2 %}
{% set a.b.c = 2 %}
{# no end
{{ "\x41\u00e9\101\n\q\'" }}{{ 'a' 'b' }}
{{ d.__class__ }}{{ s.__len__ is defined }}
{{ l | list == l }} {{ l is sameas l }} {{ (l | map("string")) is iterable }}
{% set g = l | map("string") %}{{ g | list }}{{ g | list }}{{ "y" if l | select("none") }}
{{ l | map("nope") | list }}
{{ messages[0].role }}{{ messages[-1]["content"] }}{{ messages[1:][0].content }}{{ messages | length }}{{ (messages | last).content }}
{{ messages[0].items() | list }} {{ messages[0] | tojson }}
{{ not s == "x" }} {{ -n }} {{ +n }} {{ - 2 ** 2 }} {{ -n | abs }} {{ 5 - -3 }} {{ 2 * -1 }}
{{ ("a", "b")[1] }} {{ [1, 2, 3][1:] }} {{ {"a": 1}.a }} {{ "abc"[1] }} {{ "a,b".split(",")[1] }} {{ (1 + 2) * 3 }}
{{ 1 if t else 2 if f else 3 }} {{ (1 if f) is defined }} {{ [1 if t else 2] }}
{{ s|upper|lower|length + 1 }} {{ "a" ~ "b" | upper }} {{ ("a" ~ "b") | upper }} {{ s ~ n + 1 }}
{%- for m in messages -%} {{ m.role }} {%- endfor -%}
{{ strftime_now is callable }} {{ namespace is defined }} {{ loop is defined }}
{% macro a() %}{% macro b() %}in{% endmacro %}{{ b() }}{% endmacro %}{{ a() }}{{ b is defined }}
{% for i in [1, 2] %}{% for j in [3] %}{{ loop.index }}{{ i }}{{ j }}{% endfor %}{{ loop.index }}{% endfor %}
{% print s, n %}{% autoescape true %}x{% endautoescape %}{% block b %}in block {{ s }}{% endblock %}
{% call nope() %}{% endcall %}
{{ nested }}{{ nested[0][1][0] }}{% for a, b in nested %}{{ a }}{{ b }}{% endfor %}
{{ l | list | tojson(separators=("; ", "= ")) }}
{{ 10 ** 18 }} {{ 9223372036854775807 }} {{ 1.0 }} {{ 100.0 }} {{ 3.14 }} {{ 1e22 }} {{ 1.5e-7 }} {{ 0.1 + 0.2 }} {{ 5e-324 }} {{ 1.7976931348623157e308 }} {{ 1e308 * 10 }}
{{ s.items }}{{ d.items is callable }}
{{ [[1, 2], [3]] | sum(start=[]) }} {{ [1, 2] | sum / 2 }}
{{ "a" in ["a", "b"] and "c" not in "ab" }} {{ 1 not in [2] }} {{ not 1 in [1] }}
{{ "ǆ" | upper }}{{ "Straße" | upper }}{{ "ΑΒΓ" | lower }}
{{ {"a": 1} == {"a": 1.0} }} {{ [1, [2]] == [1, [2]] }} {{ (1,) == [1] }} {{ {"a": 1, "b": 2} == {"b": 2, "a": 1} }}
{{ {1: "a", 1.0: "b", true: "c"} }} {{ {"a": 1}["a"] }} {{ {1: 2}[1] }} {{ {(1, 2): 3}[(1, 2)] }}
{{ "abc" | list }} {{ d | list }} {{ nope | list }} {{ "abc"[::2] }} {{ "abcdef"[4:1:-1] }} {{ [1, 2, 3][-1:] }} {{ "abc"[10:] }} {{ "abc"[:-10] }}
""".strip("\n").split("\n")

CASES += [
    "a\n{% if t %}\nb\n{% endif %}\nc\n", "  {% if t %}\n  b\n  {% endif %}\n", "a {% if t %} b {% endif %} c",
    "x\n  {%+ if t %}y{% endif %}", "x {%- if t %} y {%- endif %} z", "x\n  {{- s -}}\n  z", "{% if t -%}\n\n  y\n{%- endif %}",
    "a\r\nb\rc\n\n", "{% if t +%}\nb{% endif %}", "\n\n{% set a = 1 %}\n\n{{ a }}\n", "  {# c #}\n  x", "x  {# c #}\ny",
    "{{\n s\n|\nupper }}", "{% for i in l %}\n  {{ i }}\n{% endfor %}\nend", "\t{% if t %}\tx\t{% endif %}\t", "{{ s }}\n", "{{ s }}\n\n",
    "{%- raw %}\n {{ x }} \n{% endraw %}\n y", " {% raw %} a {% endraw %} ", "\u00a0{%- if t %}x{% endif %}", "{", "{ {", "a{b}c{", "}} %} #}",
    "{% if t %}a{% endif %}\n{% if t %}b{% endif %}\n", "{{ '{{' }}{{ '%}' }}{{ \"}}\" }}", "{{ {'a': {'b': 1}}.a.b }}", "{{ {'a':1}}}",
]


def render(template):
    try:
        return {"text": _compile_jinja_template(template).render(**VARIABLES)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"[:200]}


def main():
    cases = [{"template": t, **render(t)} for t in CASES]
    lines = ",\n".join("  " + json.dumps(c, ensure_ascii=True) for c in cases)
    OUT.write_text('{"variables": ' + json.dumps(VARIABLES) + ',\n "cases": [\n' + lines + "\n]}\n")
    print(len(cases), "cases,", sum("error" in c for c in cases), "errors")


if __name__ == "__main__":
    main()
