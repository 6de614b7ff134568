#!/usr/bin/env python3
"""Makes cases.jsonl: templates of our own in the manner of known model families, and small ones for single features.

    pip install jinja2==3.1.6 xxhash && ./make_cases.py [folder with tokenizers/qwen3]

With the folder it also writes qwen3.jsonl: hashes of what Qwen3's template makes of our chats.
"""
import json
import pathlib
import re
import sys

import xxhash

import oracle

HERE = pathlib.Path(__file__).resolve().parent

CHATML = r"""{% for m in messages %}
{{ '<|begin|>' + m['role'] + '\n' + m['content'] + '<|end|>' + '\n' }}
{% endfor %}
{% if add_generation_prompt %}{{ '<|begin|>assistant\n' }}{% endif %}
"""

HEADERS = r"""{{- bos_token }}
{%- if messages and messages[0]['role'] == 'system' %}
    {%- set instructions = messages[0]['content'] | trim %}
    {%- set rest = messages[1:] %}
{%- else %}
    {%- set instructions = "" %}
    {%- set rest = messages %}
{%- endif %}
{%- if not date_string is defined %}{%- set date_string = strftime_now("%d %b %Y") %}{%- endif %}
{{- "<|head|>system<|/head|>\n\nToday is " + date_string + "\n\n" }}
{%- if tools is not none %}
    {{- "You may call:\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\n\n" }}
    {%- endfor %}
{%- endif %}
{{- instructions + "<|eot|>" }}
{%- for message in rest %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|head|>' + message['role'] + '<|/head|>\n\n' + message['content'] | trim + '<|eot|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls | length == 1 %}
            {{- raise_exception("one call at a time") }}
        {%- endif %}
        {%- set call = message.tool_calls[0].function %}
        {{- '<|head|>assistant<|/head|>\n\n{"name": "' + call.name + '", "parameters": ' }}
        {{- call.arguments | tojson }}
        {{- "}<|eot|>" }}
    {%- else %}
        {{- "<|head|>ipython<|/head|>\n\n" }}
        {%- if message.content is mapping or message.content is iterable and message.content is not string %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|head|>assistant<|/head|>\n\n' }}{%- endif %}
"""

THINKING = r"""{%- set ns = namespace(tools_open=true, last=messages|length - 1) %}
{%- for m in messages[::-1] %}
    {%- set i = (messages|length - 1) - loop.index0 %}
    {%- if ns.tools_open and m.role == "user" and not(m.content.startswith('<out>') and m.content.endswith('</out>')) %}
        {%- set ns.tools_open = false %}
        {%- set ns.last = i %}
    {%- endif %}
{%- endfor %}
{%- for m in messages %}
    {%- if m.role == "assistant" %}
        {%- set body = m.content %}
        {%- set why = '' %}
        {%- if m.reasoning_content is defined and m.reasoning_content is not none %}
            {%- set why = m.reasoning_content %}
        {%- elif '</think>' in body %}
            {%- set why = body.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}
            {%- set body = body.split('</think>')[-1].lstrip('\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last and (loop.last or (not loop.last and why)) %}
            {{- '<|a|>\n<think>\n' + why.strip('\n') + '\n</think>\n\n' + body.lstrip('\n') }}
        {%- else %}
            {{- '<|a|>\n' + body }}
        {%- endif %}
        {%- for call in m.tool_calls %}
            {%- if (loop.first and body) or (not loop.first) %}{{- '\n' }}{%- endif %}
            {%- if call.function %}{%- set call = call.function %}{%- endif %}
            {{- '<call>{"name": "' ~ call.name ~ '", "arguments": ' }}
            {{- call.arguments if call.arguments is string else call.arguments | tojson }}
            {{- '}</call>' }}
        {%- endfor %}
        {{- '<|z|>\n' }}
    {%- elif m.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}{{- '<|u|>' }}{%- endif %}
        {{- '\n<out>\n' }}{{- m.content }}{{- '\n</out>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}{{- '<|z|>\n' }}{%- endif %}
    {%- else %}
        {{- '<|' ~ m.role[0] ~ '|>\n' ~ m.content ~ '<|z|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|a|>\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}
{%- endif %}
"""

ALTERNATING = r"""{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('After the optional system message, roles must alternate user/assistant') }}
    {%- endif %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}{{- ", " }}{%- endif %}
                {%- endfor %}
                {{- "}}" }}
                {%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" }}{%- endif %}
            {%- endfor %}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[Q] " + system_message + "\n\n" + message["content"] + "[/Q]" }}
        {%- else %}
            {{- "[Q] " + message["content"] + "[/Q]" }}
        {%- endif %}
    {%- else %}
        {%- generation %}{{- " " + message["content"]|trim + eos_token}}{%- endgeneration %}
    {%- endif %}
{%- endfor %}
"""

SIMPLE = r"""{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{% generation %}
{{ '<|assistant|>\n'  + message['content'] + eos_token }}
{% endgeneration %}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}
"""

MACROS = r"""{% macro typed(spec, depth=0) %}
  {%- if spec.type == 'object' %}{
    {%- for k, v in spec.properties | dictsort %}{{ k }}: {{ typed(v, depth + 1) }}{{ ', ' if not loop.last }}{% endfor -%}
  } {%- elif spec.type == 'array' %}{{ typed(spec['items'], depth + 1) }}[]
  {%- elif spec.type is string %}{{ spec.type | upper }}
  {%- else %}{{ spec.type | map('string') | join(' | ') }}
  {%- endif %}
{%- endmacro %}
{% macro part(content) -%}
  {% if content is string %}{{ content | trim }}{% else %}
    {%- for c in content %}{{ c.text if c.type == 'text' else '<' ~ c.type ~ '>' }}{% endfor %}
  {%- endif %}
{%- endmacro %}
{%- for t in tools or [] %}
// {{ t.function.description | default('nothing', true) }}
type {{ t.function.name }} = ({{ typed(t.function.parameters) }});
{% endfor %}
{% for m in messages %}{{ m.role | capitalize }}: {{ part(m.content) }}{{ '\n' if not loop.last }}{% endfor %}
"""

TOOL = {"type": "function", "function": {
    "name": "weather", "description": "Weather of a \"city\" & <more>", "parameters": {
        "type": "object", "required": ["city"], "properties": {
            "city": {"type": "string", "description": "市", "enum": ["Łódź", "北京"]},
            "days": {"type": ["integer", "null"], "default": 3, "minimum": 1.0},
            "list": {"type": "array", "items": {"type": "number"}}}}, "return": {"type": "string"}}}
CALL = {"type": "function", "function": {"name": "weather", "arguments": {
    "city": "北京", "days": None, "p": 1.5, "q": True, "l": [1, "a", {"b": 1e30}]}}}


def chat(*turns):
    return [dict(role=turn[0], content=turn[1], **(turn[2] if len(turn) > 2 else {})) for turn in turns]


CHATS = [
    chat(("user", "Hello")),
    chat(("system", "  Be brief. \n"), ("user", " Hi \n")),
    chat(("user", "a"), ("assistant", " b "), ("user", "c")),
    chat(("system", "s"), ("user", "a"), ("assistant", "b\n"), ("user", "春眠不覺曉 🙂 \"q\" 'x' \\ \x07"), ("assistant", "é")),
    chat(("user", "q"), ("assistant", "<think>\nhm\n</think>\n\nyes"), ("user", "r"), ("assistant", "<think>\nhm\n</think>\n\nno")),
    chat(("user", "q"), ("assistant", "x", {"reasoning_content": "why\n"})),
    chat(("user", "w"), ("assistant", "", {"tool_calls": [CALL]}), ("tool", "{\"t\": 20}"), ("assistant", "20 degrees")),
    chat(("user", "w"), ("assistant", "so", {"tool_calls": [CALL, {"function": {"name": "now", "arguments": "{}"}}]}),
         ("tool", "1"), ("tool", {"t": 2.0}), ("user", "thanks")),
    chat(("user", [{"type": "text", "text": "see"}, {"type": "image"}])),
    chat(("user", "a"), ("user", "b")), [],
]


QWEN_OPTIONS = [{}, {"add_generation_prompt": False, "tools": [TOOL]}, {"enable_thinking": False},
                {"enable_thinking": True, "tools": [TOOL, {"type": "function", "function": {"name": "now"}}]}]


def family_cases():
    for template in (CHATML, HEADERS, THINKING, ALTERNATING, SIMPLE, MACROS):
        for messages in CHATS:
            for more in ({"add_generation_prompt": True}, {"add_generation_prompt": False, "tools": [TOOL]},
                         {"add_generation_prompt": True, "enable_thinking": False, "date_string": "1 May 2024"}):
                variables = {"messages": messages, "tools": None, "documents": None, "bos_token": "<s>",
                             "eos_token": "</s>", **more}
                yield oracle.case(template, variables, 1753500000)


def feature_cases():
    variables = {
        "n": 7, "f": 2.5, "big": 1e22, "tiny": 1.5e-7, "s": " Straße ǆ ", "zh": "春眠 不覺曉", "t": "a,b,,c", "none": None,
        "yes": True, "l": [3, 1, 2], "mixed": [1, "a", None, True, 2.0, [1], {"k": "v"}], "empty": [], "deep": {"a": {"b": [10, 20]}},
        "d": {"b": 2, "a": 1, "C": 3}, "people": [{"n": "Bo", "a": 3, "x": {"y": 1}}, {"n": "al", "a": 1}, {"n": "Cy", "a": 3}],
        "text": "line one\n\nline two\r\nline three", "html": "<b>\"&'</b>",
    }
    blocks = (HERE / "features.txt").read_text().split("\n---\n")
    for template in blocks:
        words = set(re.findall(r"\w+", template))
        yield oracle.case(template, {k: v for k, v in variables.items() if k in words}, 86400 * 365)


def shared_case(folder):
    """Qwen3's own template on our chats: one hash, so that nothing of the template is committed."""
    config = json.loads((pathlib.Path(folder) / "tokenizers/qwen3/tokenizer_config.json").read_text())
    out = []
    for messages in CHATS:
        for more in QWEN_OPTIONS:
            variables = {"messages": messages, "tools": None, "documents": None, "add_generation_prompt": True,
                         "eos_token": config["eos_token"], "pad_token": config["pad_token"], **more}
            case = oracle.case(config["chat_template"], variables)
            text = case.get("text")
            out.append({"messages": messages, "options": more,
                        "xxh3": "error" if text is None else xxhash.xxh3_64_hexdigest(text.encode())})
    (HERE / "qwen3.jsonl").write_text("".join(json.dumps(case, ensure_ascii=False) + "\n" for case in out))
    print(len(out), "cases of qwen3")


def main():
    if len(sys.argv) > 1:
        shared_case(sys.argv[1])
    cases = list(family_cases()) + list(feature_cases())
    known = {}
    for line, case in enumerate(cases, 1):  # a template that came before is named by its line
        source = case["template"]
        case["template"] = known.get(source, source)
        known.setdefault(source, line)
    lines = [json.dumps(case, ensure_ascii=False) for case in cases]
    (HERE / "cases.jsonl").write_text("\n".join(lines) + "\n")
    print(len(cases), "cases,", sum("error" in case for case in cases), "of them errors")


main()
