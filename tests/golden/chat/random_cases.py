#!/usr/bin/env python3
"""Writes random small templates with what jinja2 makes of them, one case a line.

    ./random_cases.py 1 100 > random.jsonl
    ./random_cases.py SEED COUNT > cases.jsonl    # more of them
    TRIREME_CHAT_CASES=cases.jsonl build/tests/test_chat
"""
import copy
import json
import random
import sys

import oracle

VARIABLES = {
    "n": 7, "z": 0, "f": 2.5, "neg": -3, "s": "Hello wörld", "e": "", "sp": "  pad ded\n", "csv": "a,b,,c", "none_v": None,
    "yes": True, "no": False, "l": [3, 1, 2], "ls": ["b", "A", "c"], "mix": [1, "a", None, True, 2.0], "el": [],
    "d": {"b": 2, "a": "x", "C": [1]}, "ed": {}, "ms": [{"role": "user", "content": "hi "}, {"role": "assistant", "content": "yo",
    "n": 1}, {"role": "user", "content": "春眠 🙂"}],
}
FILTERS = ["trim", "upper", "lower", "length", "title", "capitalize", "tojson", "first", "last", "list", "string", "int", "float",
           "abs", "round", "sort", "unique", "reverse", "items", "dictsort", "join", "join(', ')", "default('D')", "d(1, true)",
           "replace('a', 'b')", "replace('l', 'L', 1)", "map('upper')", "map('string')", "map(attribute='role')", "select",
           "select('string')", "reject('none')", "selectattr('role', 'equalto', 'user')", "rejectattr('n')", "sum", "min", "max",
           "tojson(indent=2)", "indent", "indent(2, true)", "batch(2)", "slice(2)", "safe", "e", "count", "wordcount", "truncate(5)",
           "groupby('role')", "sort(reverse=true)", "map('length')", "select('odd')", "select('gt', 1)", "round(1)", "center(9)",
           "trim('a ')", "format(1)", "selectattr('content')", "attr('x')"]
TESTS = ["defined", "undefined", "none", "string", "mapping", "iterable", "sequence", "number", "integer", "float", "boolean", "true",
         "false", "odd", "even", "divisibleby 2", "divisibleby(3)", "eq 7", "in l", "lower", "upper", "callable", "sameas none",
         "equalto('a')", "gt 1", "not none", "not string"]
METHODS = ["strip()", "lstrip()", "rstrip('d\\n ')", "split()", "split(',')", "split('l', 1)", "rsplit(',', 1)", "upper()", "title()",
           "startswith('H')", "endswith(('d', 'c'))", "replace('l', '')", "find('o')", "count('l')", "items()", "keys()", "values()",
           "get('a')", "get('q', 1)", "splitlines()", "isdigit()", "join(ls)", "format(1, 2)", "partition(',')", "capitalize()",
           "index(1)", "zfill(3)", "append(1)", "role", "content", "a", "nothing", "swapcase()", "removeprefix('H')", "center(5)"]
LITERALS = ["1", "0", "-2", "3.5", "1e3", "'a'", "''", "'x,y'", "\"it's\"", "true", "false", "none", "[1, 2]", "[]", "{'k': 1}", "{}",
            "(1, 'b')", "'%s-%s'", "'{}|{}'", "[n, s]", "{'a': l}", "'\\n'", "10", "missing", "range(3)", "namespace(a=1)"]
SPACES = ["", " ", "\n", "  \n", " a ", "\n\n", "b", "  ", "\t", "x\n  "]


class Maker:
    def __init__(self, draw):
        self.draw, self.names = draw, list(VARIABLES)

    def pick(self, choices):
        return self.draw.choice(choices)

    def expr(self, depth):
        if depth <= 0 or self.draw.random() < 0.15:
            return self.pick(self.names if self.draw.random() < 0.7 else LITERALS)
        sub = lambda: self.expr(depth - 1)  # noqa: E731
        kind = self.draw.randrange(16)
        if kind < 4:
            return f"{sub()} | {self.pick(FILTERS)}"
        if kind < 6:
            return f"{self.pick(self.names)}.{self.pick(METHODS)}"
        if kind == 6:
            return f"({sub()}).{self.pick(METHODS)}"
        if kind == 7:
            return f"({sub()} is {self.pick(TESTS)})"
        if kind < 10:
            return f"{sub()} {self.pick(['+', '-', '*', '/', '//', '%', '~', '~', '+'])} {sub()}"
        if kind == 10:
            return f"{sub()} {self.pick(['==', '!=', '<', '<=', '>', '>=', 'in', 'not in'])} {sub()}"
        if kind == 11:
            return f"{sub()} {self.pick(['and', 'or'])} {self.pick(['', 'not '])}{sub()}"
        if kind == 12:
            return f"({sub()} if {sub()}{self.pick(['', ' else ' + sub()])})"
        if kind == 13:
            return f"{self.pick(self.names)}[{self.pick(['0', '-1', '1:', '::-1', ':2', repr('a'), repr('role'), '5', 'n', '::2', '1:-1'])}]"
        if kind == 14:
            return f"[{sub()}, {sub()}]"
        return f"({sub()})"

    def tag(self, inside):
        return "{%" + self.pick(["", "", "-", "+"]) + f" {inside} " + self.pick(["", "", "-", "+"]) + "%}"

    def body(self, depth):
        return "".join(self.pick(SPACES) + self.statement(depth) for _ in range(self.draw.randrange(1, 3))) + self.pick(SPACES)

    def statement(self, depth):
        kind = self.draw.randrange(14) if depth > 0 else self.draw.randrange(4)
        body = lambda: self.body(depth - 1)  # noqa: E731
        if kind < 4:
            return "{{" + self.pick(["", "-", " "]) + " " + self.expr(self.pick([0, 1, 1, 2])) + " " + self.pick(["", "-"]) + "}}"
        if kind < 6:
            other = self.tag("else") + body() if self.draw.random() < 0.4 else ""
            middle = self.tag(f"elif {self.expr(1)}") + body() if self.draw.random() < 0.3 else ""
            return self.tag(f"if {self.expr(1)}") + body() + middle + other + self.tag("endif")
        if kind < 9:
            name = self.pick(["i", "x", "m", "k, v"])
            source = self.pick(["l", "ls", "ms", "mix", "d", "s", "d.items()", "range(3)", "el", "d | items", "ms[::-1]", self.expr(1)])
            test = f" if {self.expr(1)}" if self.draw.random() < 0.3 else ""
            old = self.names
            self.names = old + name.split(", ") * 3 + ["loop.index", "loop.last", "loop.first", "loop.length", "loop.previtem",
                                                       "loop.nextitem", "loop.revindex0"]
            jump = self.tag(f"if {self.expr(1)}") + self.tag(self.pick(["break", "continue"])) + self.tag("endif") \
                if self.draw.random() < 0.25 else ""
            text = self.tag(f"for {name} in {source}{test}") + body() + jump + body()
            self.names = old
            other = self.tag("else") + body() if self.draw.random() < 0.2 else ""
            return text + other + self.tag("endfor")
        if kind == 9:
            name = self.pick(["a", "x", "n", "s"])
            out = self.tag(f"set {name} = {self.expr(1)}")
            self.names = self.names + [name]
            return out
        if kind == 10:
            return self.tag("set ns = namespace(c=0)") + self.tag(f"set ns.c = {self.expr(1)}") + body() + "{{ ns.c }}"
        if kind == 11:
            return self.tag(f"set blk{self.pick(['', ' | upper', ' | trim'])}") + body() + self.tag("endset") + "{{ blk }}"
        if kind == 12:
            old = self.names
            self.names = old + ["p", "q"]
            out = self.tag("macro mac(p, q=2)") + body() + self.tag("endmacro")
            self.names = old
            return out + "{{ mac(" + self.pick(["", "1", "s, l", "q=1", "n, q=f"]) + ") }}"
        return self.pick(["{# note #}", "{#- note -#}", self.tag("generation") + body() + self.tag("endgeneration"),
                          self.tag("filter upper") + body() + self.tag("endfilter"),
                          self.tag(f"with w = {self.expr(1)}") + body() + self.tag("endwith"),
                          "{% raw %} {{ x }} {% endraw %}"])


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    draw = random.Random(int(sys.argv[1]))
    for _ in range(int(sys.argv[2])):
        case = oracle.case(Maker(draw).body(2), copy.deepcopy(VARIABLES))  # `| indent` changes lists
        if " at 0x" in case.get("text", "").lower():
            continue  # the address of a Python object
        print(json.dumps(case, ensure_ascii=False))


main()
