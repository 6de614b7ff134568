"""Renders a chat template with jinja2 as Hugging Face transformers 5 sets it up, for the goldens of the chat room.

    python3 -m venv venv && venv/bin/pip install jinja2==3.1.6
"""
import datetime
import json

import jinja2
import jinja2.ext
import jinja2.sandbox


class Generation(jinja2.ext.Extension):
    """{% generation %}: remembers where in the text its content stands, in characters."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("note"), [], [], body).set_lineno(line)

    def note(self, caller):
        text = caller()
        begin = sum(map(len, self.environment.pieces))
        self.environment.spans.append((begin, begin + len(text)))
        return text


class PlainDict:
    def __call__(self, *args, **kwargs):
        return dict(*args, **kwargs)


class PlainNamespace(jinja2.utils.Namespace):
    def __init__(*args, **kwargs):
        self, args = args[0], args[1:]
        attributes = dict(*args, **kwargs)
        for name in attributes:
            check_name(name)
        jinja2.utils.Namespace.__init__(self, attributes)

    def __setitem__(self, name, value):
        check_name(name)
        jinja2.utils.Namespace.__setitem__(self, name, value)


def check_name(name):
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError(name)


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment(now):
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    moment = datetime.datetime.fromtimestamp(now, datetime.timezone.utc).replace(tzinfo=None)
    env.globals["strftime_now"] = moment.strftime
    env.globals["dict"] = PlainDict()
    env.globals["namespace"] = PlainNamespace
    return env


def render(template, variables, now=0):
    """The text, and the generation spans as [begin, end) bytes."""
    env = environment(now)
    env.pieces, env.spans = [], []
    for piece in env.from_string(template).generate(**variables):
        env.pieces.append(piece)
    text = "".join(env.pieces)
    return text, [(len(text[:begin].encode()), len(text[:end].encode())) for begin, end in env.spans]


def case(template, variables, now=0):
    """A line of a file of cases, which tests/chat/template_test.cpp reads."""
    out = {"template": template, "variables": variables, "now": now}
    try:
        text, spans = render(template, variables, now)
        text.encode()  # a lone surrogate cannot be written
        out["text"] = text
        out["generated"] = "".join(f"{begin}-{end} " for begin, end in spans)
    except Exception as error:  # noqa: BLE001: whatever jinja2 or Python makes of a bad template
        out["error"] = f"{type(error).__name__}: {error}"[:200]
    return out
