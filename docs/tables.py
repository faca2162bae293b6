"""Reads include/orderhook/tbl/*.def, for docs/generate.py and what it is made of."""

import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TABLES = os.path.join(ROOT, "include/orderhook/tbl")

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


def config_keys(section):
    for row in rows("config_key.def", "CONFIG_KEY"):
        key = dict(zip(CONFIG_COLUMNS, row))
        if key["section"] == section:
            yield key


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


def states():
    return {name: (int(status), int(sub)) for name, status, sub, _, _ in
            rows("order_state.def", "ORDER_STATE")}


def pair(name):
    if name == "NONE":
        return "(none)"
    status, sub = states()[name]
    return f"{status}/{sub}" if sub else str(status)
