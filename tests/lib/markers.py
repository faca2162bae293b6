"""Text between two markers of a page, <!-- NAME --> and <!-- /NAME -->."""

import re


def put(path, name, text):
    """Replaces what stands there; True when that changed the page."""
    with open(path, encoding="utf-8") as f:
        before = f.read()
    after, found = re.subn(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)",
                           lambda m: m[1] + text + "\n" + m[2], before, flags=re.S)
    if found != 1:
        raise SystemExit(f"{path} needs the markers <!-- {name} --> and <!-- /{name} --> once")
    if after != before:
        with open(path, "w", encoding="utf-8") as f:
            f.write(after)
    return after != before
