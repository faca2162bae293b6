#!/usr/bin/python3
"""Writes the tables of the documentation from include/orderhook/tbl/*.def.

    python3 docs/generate.py            rewrites what stands between the markers
    python3 docs/generate.py --check    exit 1 and a list when a page is not what it would write

A page holds a pair of markers for each of its tables; everything outside them is written by hand.
"""

import os
import re
import sys

DOCS = os.path.dirname(os.path.abspath(__file__))
TABLES = os.path.join(os.path.dirname(DOCS), "include/orderhook/tbl")

CONFIG_COLUMNS = "section key type default min max unit change member description".split()


def rows(file, macro):
    """The arguments of every row, strings without their quotes."""
    text = open(os.path.join(TABLES, file), encoding="utf-8").read()
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    found = list(re.finditer(macro + r"\(((?:\"(?:[^\"\\]|\\.)*\"|[^\")])*)\)", text))
    if len(found) != len(re.findall("^" + macro + r"\(", text, re.M)):
        sys.exit(f"docs/generate.py: {file} has rows that cannot be read")
    for row in found:
        words = re.findall(r"\"(?:[^\"\\]|\\.)*\"|[^\s,][^,]*", row.group(1))
        yield [re.sub(r"\\(.)", r"\1", w[1:-1]) if w[0] == '"' else w.strip() for w in words]


def code(text):
    return f"`{text}`" if text else ""


def config_allowed(key):
    """As config_key_allowed() writes it."""
    types = {name: rest for name, *rest in rows("config_type.def", "CONFIG_TYPE")}
    form, _, allowed = types[key["type"]]
    allowed = key["unit"] or allowed
    if key["type"] == "NUMBER":
        return f"{key['min']} to {key['max']} {allowed}"
    if key["max"]:
        allowed += f"; {key['min']} to {key['max']}" + (" of them" if form == "LIST" else "")
    return allowed


def config_table(section):
    for row in rows("config_key.def", "CONFIG_KEY"):
        key = dict(zip(CONFIG_COLUMNS, row))
        if key["section"] != section:
            continue
        default = {"REQUIRED": "required", "NONE": "none", "": "empty"}.get(key["default"])
        yield [code(key["key"]), default or code(key["default"]), config_allowed(key),
               "reload" if key["change"] == "RELOAD" else "restart", key["description"]]


def error_table():
    faults = {"CALLER": "caller", "OPERATOR": "operator", "SYSTEM": "system", "SELF": "orderhook"}
    for _, http, whose, retry, key, text in rows("error.def", "ERROR"):
        yield [code(key), http if http != "0" else "–", faults[whose],
               "yes" if retry == "1" else "no", text]


def states():
    return {name: (int(status), int(sub)) for name, status, sub, _, _ in
            rows("order_state.def", "ORDER_STATE")}


def pair(name):
    if name == "NONE":
        return "(none)"
    status, sub = states()[name]
    return f"{status}/{sub}" if sub else str(status)


def state_table():
    for name, _, _, zh, en in rows("order_state.def", "ORDER_STATE"):
        yield [pair(name), zh, en]


def edge_table():
    keys = {name: key for name, key, *_ in rows("verdict.def", "VERDICT")}
    for start, end, verdict in rows("order_edge.def", "ORDER_EDGE"):
        yield [pair(start), pair(end), code(keys[verdict])]


def verdict_table():
    for _, key, quarantined, folded, meaning in rows("verdict.def", "VERDICT"):
        yield [code(key), "yes" if folded == "1" else "no", "yes" if quarantined == "1" else "no",
               meaning]


def metric_table():
    for _, kind, name, text in rows("metric.def", "METRIC"):
        yield [code(name), kind.lower(), text]


CONFIG_HEAD = ["key", "default", "allowed", "a change needs", "meaning"]

# (page, marker, columns, rows)
GENERATED = [
    ("configuration.md", "server", CONFIG_HEAD, lambda: config_table("SERVER")),
    ("configuration.md", "store", CONFIG_HEAD, lambda: config_table("STORE")),
    ("configuration.md", "endpoint", CONFIG_HEAD, lambda: config_table("ENDPOINT")),
    ("configuration.md", "attention", CONFIG_HEAD, lambda: config_table("ATTENTION")),
    ("errors.md", "errors", ["key", "status", "whose fault", "worth a retry", "what happened"],
     error_table),
    ("states.md", "states", ["state", "text", "in English"], state_table),
    ("states.md", "edges", ["from", "to", "verdict"], edge_table),
    ("states.md", "verdicts", ["verdict", "in the fold", "quarantine", "means"], verdict_table),
    ("metrics.md", "metrics", ["name", "kind", "meaning"], metric_table),
]


def markdown(columns, lines):
    def line(cells):
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return "\n".join([line(columns), line(["---"] * len(columns)), *map(line, lines)])


def fill(text, marker, table):
    begin, end = f"<!-- generated: {marker} -->", "<!-- end -->"
    pattern = re.escape(begin) + r"\n.*?" + re.escape(end)
    if not re.search(pattern, text, re.S):
        sys.exit(f"docs/generate.py: no '{begin}' … '{end}'")
    return re.sub(pattern, lambda _: f"{begin}\n\n{table}\n\n{end}", text, count=1, flags=re.S)


def main():
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit(__doc__)
    stale = []
    for page in dict.fromkeys(page for page, *_ in GENERATED):
        path = os.path.join(DOCS, page)
        before = after = open(path, encoding="utf-8").read()
        for name, marker, columns, lines in GENERATED:
            if name == page:
                after = fill(after, marker, markdown(columns, lines()))
        if after == before:
            continue
        stale.append(page)
        if not check:
            with open(path, "w", encoding="utf-8") as f:
                f.write(after)
    if check and stale:
        sys.exit("docs/generate.py: run it, these pages are older than their tables: "
                 + ", ".join(stale))


main()
