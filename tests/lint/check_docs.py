"""Checks that the documentation tells what is there: tables, generated pages, links, names."""

import json
import os
import re
import shutil
import sys

from tree import Skip, missing

CONFIG_TABLE = "include/orderhook/tbl/config_key.def"
COMMAND_TABLE = "include/orderhook/tbl/command.def"
ERROR_TABLE = "include/orderhook/tbl/error.def"
METRIC_TABLE = "include/orderhook/tbl/metric.def"
VERDICT_TABLE = "include/orderhook/tbl/verdict.def"
ALERTS = "etc/prometheus/orderhook.rules.yml"
DASHBOARD = "etc/grafana/orderhook.json"
FOLDERS = "src|include|tests|docs|etc|sql|systemd"


def check_config_docs(tree):
    """Every key of the schema is explained, and stands in the example as a setting or a comment."""
    page, example = "docs/configuration.md", "etc/orderhook.conf"
    absent = missing(tree, CONFIG_TABLE, page, example)
    if absent:
        return absent
    # A key in capitals stands for several, and the page says which.
    keys = re.findall(r'^CONFIG_KEY\(\w+, "([a-z0-9_]+)"', tree.read(CONFIG_TABLE), re.M)
    if not keys:
        return [f"{CONFIG_TABLE}: has no CONFIG_KEY row"]
    found = []
    for key in keys:
        if not re.search(rf"`{re.escape(key)}`", tree.read(page)):
            found.append(f"{page}: says nothing of `{key}` ({CONFIG_TABLE})")
        if not re.search(rf"^#?\s*{re.escape(key)}\s*=", tree.read(example), re.M):
            found.append(f"{example}: does not show {key} ({CONFIG_TABLE})")
    return found


def check_error_docs(tree):
    page = "docs/errors.md"
    absent = missing(tree, ERROR_TABLE, page)
    if absent:
        return absent
    keys = re.findall(r'^ERROR\([^"]*"([a-z0-9-]+)"', tree.read(ERROR_TABLE), re.M)
    if not keys:
        return [f"{ERROR_TABLE}: has no ERROR row"]
    return [f"{page}: says nothing of `{key}` ({ERROR_TABLE})" for key in keys
            if f"`{key}`" not in tree.read(page)]


def labels_unknown(text, label, known):
    """Values of a label in PromQL, each alternative of a pattern, that nothing ever has."""
    for values in re.findall(rf'\b{label}=~?\\?"([^"\\$]*)', text):
        yield from (value for value in values.split("|") if value and value not in known)


def check_metrics(tree):
    """Alerts and dashboard speak of metrics and values that there are; the dashboard of each."""
    absent = missing(tree, METRIC_TABLE, VERDICT_TABLE, ERROR_TABLE, ALERTS, DASHBOARD)
    if absent:
        return absent
    rows = re.findall(r'^METRIC\(\w+, (\w+), "(\w+)"', tree.read(METRIC_TABLE), re.M)
    if not rows:
        return [f"{METRIC_TABLE}: has no METRIC row"]
    series = {name + suffix for kind, name in rows
              for suffix in (("_bucket", "_sum", "_count") if kind == "HISTOGRAM" else ("",))}
    outcomes = set(re.findall(r'^ERROR\([^"]*"([a-z0-9-]+)"', tree.read(ERROR_TABLE), re.M))
    verdicts = set(re.findall(r'^VERDICT\([^"]*"([a-z-]+)"', tree.read(VERDICT_TABLE), re.M))
    found = []
    for name in (ALERTS, DASHBOARD):
        text = tree.read(name)
        unknown = set(re.findall(r"\borderhook_\w+", text)) - series
        unknown |= set(labels_unknown(text, "outcome", outcomes | {"ok"}))
        unknown |= set(labels_unknown(text, "verdict", verdicts))
        found += [f"{name}: there is no {one} ({METRIC_TABLE})" for one in sorted(unknown)]
    try:
        json.loads(tree.read(DASHBOARD))
    except ValueError as why:
        found.append(f"{DASHBOARD}: is not JSON: {why}")
    return found + [f"{DASHBOARD}: does not show {name} ({METRIC_TABLE})" for _, name in rows
                    if name not in tree.read(DASHBOARD)]


def check_generated(tree):
    script = "docs/generate.py"
    if script not in tree.files:
        return missing(tree, script)
    out, code = tree.run([sys.executable, "-B", script, "--check"])
    return [f"{script} --check: exit {code}: {out.strip()}"] if code else []


def pages(tree):
    return [f for f in tree.files if f.endswith(".md")]


def check_links(tree):
    """What a page points at is there: files, tests, make's targets."""
    found = [] if pages(tree) else ["no page is there"]
    targets = set(re.findall(r"^([a-z][\w-]*):", tree.read("Makefile"), re.M)) \
        if "Makefile" in tree.files else set()
    sources = "\n".join(tree.read(f) for f in tree.under("tests/", ends=(".c", ".py")))
    folders = {os.path.dirname(f) for f in tree.files}
    folders |= {os.path.dirname(f) for f in folders}

    def there(path):
        return path in tree.files or path.rstrip("/") in folders

    for page in pages(tree):
        for number, line in tree.lines(page):
            where = f"{page}:{number}"
            for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", line):
                path = os.path.normpath(os.path.join(os.path.dirname(page), link))
                if "://" not in link and not there(path):
                    found.append(f"{where}: {link} is not there")
            for path in re.findall(rf"`((?:{FOLDERS})/[\w./-]+)`", line):
                if not there(path):
                    found.append(f"{where}: {path} is not there")
            for target in re.findall(r"`make ([a-z][\w-]*)", line):
                if target not in targets:
                    found.append(f"{where}: make has no target {target}")
            for test in re.findall(r"`(test_\w+)`", line):
                if not re.search(rf"\b{test}\b", sources) \
                        and not tree.under(f"tests/unit/{test}.", f"tests/integration/{test}."):
                    found.append(f"{where}: there is no test {test}")
    return found


def check_man(tree):
    found = []
    names = [f for f in tree.under("docs/man/") if re.search(r"\.[1-9]$", f)]
    if not names:
        return ["docs/man: no manual page is there"]
    if not shutil.which("mandoc"):
        raise Skip("needs mandoc; install the package mandoc")
    for name in names:
        out, code = tree.run(["mandoc", "-Tlint", "-Wwarning", name])
        found += out.splitlines() if code else []
    return found


def check_commands(tree):
    """No page, help or message sends anybody to a command that is not there."""
    if COMMAND_TABLE not in tree.files:
        return missing(tree, COMMAND_TABLE)
    known = set(re.findall(r"^COMMAND\((\w+),", tree.read(COMMAND_TABLE), re.M)) | {"help"}
    found = []
    for name in tree.under("README", "docs/", "etc/", "include/", "src/", "sql/", "systemd/"):
        for number, line in tree.lines(name):
            found += [f"{name}:{number}: there is no command `orderhook {word}`"
                      for word in re.findall(
                          r"(?:[`']|^\.Ic )orderhook (?:(?:-c|--db) \S+ )*([a-z]\w*)", line)
                      if word not in known]
    return found


def check_version(tree):
    absent = missing(tree, "Makefile", "CHANGELOG.md")
    if absent:
        return absent
    version = re.search(r"^VERSION := (\S+)$", tree.read("Makefile"), re.M)
    newest = re.search(r"^## (\S+)", tree.read("CHANGELOG.md"), re.M)
    if not version or not newest or version.group(1) != newest.group(1):
        return ["CHANGELOG.md: its first entry is not the VERSION of the Makefile"]
    return []


CHECKS = {
    "config-docs": check_config_docs,
    "error-docs": check_error_docs,
    "metrics": check_metrics,
    "generated": check_generated,
    "links": check_links,
    "man": check_man,
    "commands": check_commands,
    "version": check_version,
}
