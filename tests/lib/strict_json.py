"""A strict JSON reader to hold src/base/json_scan.c against.

Written from RFC 8259 and the limits in include/orderhook/json_scan.h; it knows neither Python's
json module nor the C. A text is read from left to right, and the fault that is met first is named.
The C descends recursively and compares keys by a hash; this is a loop with a stack of its own,
regular expressions for the tokens, and a set of keys for each object.
"""

import re

DEPTH_MAX = 8
MEMBERS_MAX = 64

WHITE = re.compile(rb"[ \t\n\r]*")
NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
WORD = re.compile(rb"true|false|null")
PLAIN = re.compile(rb'[ !#-\[\]-~\x7f]*')
BEYOND_ASCII = re.compile(rb"[\x80-\xff]+")
HEX4 = re.compile(rb"u([0-9A-Fa-f]{4})")
ESCAPED = {ord(letter): meaning for letter, meaning in zip('"\\/bfnrt', '"\\/\b\f\n\r\t')}


class Refused(Exception):
    """args[0] is the error's key without its json-."""


def hex4(text, pos):
    found = HEX4.match(text, pos)
    return int(found.group(1), 16) if found else None


def escape(text, pos):
    """The character that the escape means whose backslash is before pos, and where it ends."""
    if text[pos:pos + 1] != b"u":
        if pos == len(text) or text[pos] not in ESCAPED:
            raise Refused("syntax")
        return ESCAPED[text[pos]], pos + 1
    code = hex4(text, pos)
    if code is None:
        raise Refused("syntax")
    pos += 5
    if 0xD800 <= code < 0xE000:
        low = hex4(text, pos + 1) if text[pos:pos + 1] == b"\\" else None
        if code >= 0xDC00 or low is None or not 0xDC00 <= low < 0xE000:
            raise Refused("surrogate")
        code = 0x10000 + (code - 0xD800) * 0x400 + (low - 0xDC00)
        pos += 6
    if code == 0:
        raise Refused("nul")
    return chr(code), pos


def string(text, pos):
    """What the string says, as UTF-8, and where it ends; pos is behind its opening quote."""
    said = []
    while True:
        run = PLAIN.match(text, pos)
        said.append(run.group())
        pos = run.end()
        if pos == len(text):
            raise Refused("syntax")
        byte = text[pos]
        if byte == 0x22:
            return b"".join(said), pos + 1
        if byte == 0x5C:
            character, pos = escape(text, pos + 1)
            said.append(character.encode())
        elif byte < 0x20:
            raise Refused("syntax" if byte else "nul")
        else:
            run = BEYOND_ASCII.match(text, pos)
            try:
                run.group().decode("utf-8")
            except UnicodeDecodeError:
                raise Refused("utf8") from None
            said.append(run.group())
            pos = run.end()


class Container:
    def __init__(self, closing):
        self.closing = closing
        self.keys = set()
        self.first = True  # nothing in it yet


def member_key(text, pos, container):
    if text[pos:pos + 1] != b'"':
        raise Refused("syntax")
    if len(container.keys) == MEMBERS_MAX:
        raise Refused("members")
    key, pos = string(text, pos + 1)
    folded = key.lower()  # of bytes: ASCII only
    if folded in container.keys:
        raise Refused("key-twice")
    container.keys.add(folded)
    pos = WHITE.match(text, pos).end()
    if text[pos:pos + 1] != b":":
        raise Refused("syntax")
    return key, WHITE.match(text, pos + 1).end()


def read(text):
    """The object's members in their order: (key, type, token, said), a string's token being what
    is between its quotes, said its meaning or None. Raises Refused."""
    members = []
    pos = WHITE.match(text).end()
    if text[pos:pos + 1] != b"{":
        raise Refused("syntax")
    stack = [Container(b"}")]
    pos += 1
    top = None  # the member of the outermost object that is being read: key, where its value began
    while stack:
        container = stack[-1]
        pos = WHITE.match(text, pos).end()
        if text[pos:pos + 1] == container.closing:
            # Behind a comma something must follow, and that is seen where the comma is taken.
            stack.pop()
            pos += 1
            if len(stack) == 1:
                members.append((top[0], "a" if container.closing == b"]" else "o",
                                text[top[1]:pos], None))
            continue
        if not container.first:
            if text[pos:pos + 1] != b",":
                raise Refused("syntax")
            pos = WHITE.match(text, pos + 1).end()
        container.first = False
        if container.closing == b"}":
            key, pos = member_key(text, pos, container)
            if len(stack) == 1:
                top = key, pos
        opening = text[pos:pos + 1]
        if opening in (b"{", b"["):
            if len(stack) == DEPTH_MAX:
                raise Refused("depth")
            stack.append(Container(b"}" if opening == b"{" else b"]"))
            pos += 1
            continue
        kind, token, said, pos = scalar(text, pos, opening)
        if len(stack) == 1:
            members.append((top[0], kind, token, said))
    if WHITE.match(text, pos).end() != len(text):
        raise Refused("syntax")
    return members


def scalar(text, pos, opening):
    if opening == b'"':
        said, end = string(text, pos + 1)
        return "s", text[pos + 1:end - 1], said, end
    found = WORD.match(text, pos)
    if found:
        return chr(found.group()[0]), found.group(), None, found.end()
    found = NUMBER.match(text, pos)
    if not found:
        raise Refused("syntax")
    return "d", found.group(), None, found.end()
