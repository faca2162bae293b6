"""The parts of the manual pages that are tables elsewhere, in mdoc(7)."""

import re
import unicodedata

from tables import config_allowed, config_keys, pair, rows, states

# What a formatter would make typographic, as the ASCII that a user has to type.
ASCII = {"\\": "\\e", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti", "-": "\\-"}


def literal(line):
    """A line in which every character stands for itself."""
    line = "".join(ASCII.get(c, c) for c in line)
    return "\\&" + line if line[:1] == "." else line


def prose(text):
    """Running text: a line for each sentence, options and names in quotes as they are typed."""
    text = text.replace("\\", "\\e")
    text = re.sub(r"`([^`]+)`|'([^']+)'(?=[\s.,;:)]|$)",
                  lambda m: "\\(lq" + (m.group(1) or m.group(2)) + "\\(rq", text)
    text = re.sub(r"(?<![\w-])--?(?=[a-z])", lambda m: m.group().replace("-", "\\-"), text)
    lines = re.sub(r"([.:;]) (?=[A-Z])", r"\1\n", " ".join(text.split())).split("\n")
    return ["\\&" + line if line[:1] in ".'" else line for line in lines]


def argument(text):
    """One argument of a macro line."""
    text = literal(text).replace('"', "\\(dq")
    return f'"{text}"' if " " in text or not text else text


def block(lines):
    return [".Bd -literal -offset 2n", *map(literal, lines), ".Ed"]


def columns(heads, lines):
    """A table; its columns are as wide as their widest cell, wide characters counted double."""
    def width(text):
        return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)

    table = list(lines)
    widest = [max([heads[i], *(row[i] for row in table)], key=width) for i in range(len(heads))]
    return [".Bl -column " + " ".join(argument("m" * (width(text) + 1)) for text in widest),
            ".It " + " Ta ".join("Sy " + argument(head) for head in heads),
            *(".It " + " Ta ".join(argument(cell) for cell in row) for row in table), ".El"]


# ---------------------------------------------------------------------- orderhook.conf(5)


def config(section):
    yield ".Bl -tag -width Ds"
    for key in config_keys(section):
        default = {"REQUIRED": "required", "NONE": "none", "": "empty"}.get(
            key["default"], key["default"])
        change = "reload" if key["change"] == "RELOAD" else "restart"
        yield f".It Ic {argument(key['key'])}"
        yield from prose(sentence(key["description"]))
        yield ".br"
        yield from prose(f"Allowed: {config_allowed(key)}.")
        yield ".br"
        yield from prose(f"Default: {default}. A change needs a {change}.")
    yield ".El"


def sentence(text):
    # A name keeps its case.
    text = text[0].upper() + text[1:] if re.match(r"[a-z]+(?![\w/:])", text) else text
    return text if text.endswith(".") else text + "."


# ---------------------------------------------------------------------- orderhook-states(7)


def state_rows():
    return columns(["state", "text", "in English"],
                   [[pair(name), zh, en] for name, _, _, zh, en in
                    rows("order_state.def", "ORDER_STATE")])


def steps():
    """The graph as a matrix: from the rows to the columns."""
    edges = {(start, end): verdict for start, end, verdict in
             rows("order_edge.def", "ORDER_EDGE")}
    names = list(states())
    lines = ["from \\ to " + "".join(f"{pair(name):>5}" for name in names)]
    for start in ["NONE", *names]:
        marks = [{"APPLIED": "x", "REASSIGNED": "r", None: "."}[edges.get((start, end))]
                 for end in names]
        lines.append(f"{pair(start):10}" + "".join(f"{mark:>5}" for mark in marks))
    return block(lines)


def verdict_rows():
    yield ".Bl -tag -width reassigned"
    for _, key, quarantined, folded, meaning in rows("verdict.def", "VERDICT"):
        yield f".It Cm {key}"
        yield from prose(sentence(meaning))
        if folded == "1":
            yield "It takes part in the fold."
        if quarantined == "1":
            yield "It is in quarantine: a person should look at it."
    yield ".El"


# ---------------------------------------------------------------------- orderhookd(8)


def errors(statuses):
    yield ".Bl -tag -width Ds"
    for _, http, _, _, key, text in rows("error.def", "ERROR"):
        if statuses(int(http)):
            yield f".It Cm {key}" + (f" Pq {http}" if http != "0" else "")
            yield from prose(sentence(text))
    yield ".El"


def metrics():
    yield ".Bl -tag -width Ds"
    for _, kind, name, text in rows("metric.def", "METRIC"):
        yield f".It Va {name} Pq {kind.lower()}"
        yield from prose(text)
    yield ".El"


def messages():
    yield ".Bl -tag -width Ds"
    for _, ident, priority, subject, explanation in rows("message.def", "MESSAGE"):
        yield f".It Sy {argument(subject)} Pq {priority.lower()}"
        yield from prose(explanation)
        yield ".br"
        yield f"MESSAGE_ID={ident}"
    yield ".El"


# ---------------------------------------------------------------------- orderhook(1)


def command_line(text):
    """The arguments of a usage line as the arguments of a macro line."""
    words = []
    for word in re.findall(r"\.\.\.|[\[\]|]|[^\s\[\]|.]+|\.", text):
        if word in "[]":
            words.append("Oo" if word == "[" else "Oc")
        elif word == "|":
            words.append("No \\&|")
        elif word == "...":
            words.append("Ns No ...")
        elif word.startswith("-"):
            words.append("Fl " + word[1:])
        else:
            words.append(("Cm " if word.islower() else "Ar ") + word)
    return " ".join(words)


def synopsis(commands):
    for command in commands:
        yield ".Nm"
        yield f".Cm {command.name}"
        yield ".Op Ar OPTION ..."
        if command.arguments:
            yield "." + command_line(command.arguments)


def option_item(option):
    words = ([f"Fl {option.letter} ,"] if option.letter else []) + [f"Fl -{option.name}"]
    if option.argument:
        words.append(f"Ar {argument(option.argument)}")
    return ".It " + " ".join(words)


def help_text(text):
    """The paragraphs of a help text; indented lines stay lines."""
    for part in re.findall(r"(?:^ .*\n?)+|(?:^\S.*\n?)+", text, re.M):
        if part.startswith(" "):
            yield from block(line[2:] for line in part.rstrip("\n").split("\n"))
        else:
            yield ".Pp"
            yield from prose(part)


def command_sections(commands):
    for command in commands:
        yield f".Ss {command.name}: {command.summary}"
        yield ".Nm"
        yield f".Cm {command.name}"
        yield ".Op Ar OPTION ..."
        if command.arguments:
            yield "." + command_line(command.arguments)
        yield from help_text(command.text)
        if command.options:
            yield ".Bl -tag -width Ds"
            for option in command.options:
                yield option_item(option)
                yield from prose(sentence(option.text))
            yield ".El"
        yield ".Pp"
        yield "For example:"
        yield from block(line[2:] for line in command.examples.split("\n"))
