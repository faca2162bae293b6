"""Checks of every text file: white space, left-over words, names of one machine, scripts."""

import ipaddress
import os
import re
import shutil

from tree import FIXTURES

C_LIKE = (".c", ".h", ".def", ".sh")
# Hosts, with all below them, that an address in the tree may name: the platform's own, and the
# documentation of what the project stands on.
HOSTS = ("bingex.com", "ishansong.com", "www.freedesktop.org", "www.sqlite.org",
         "www.standardwebhooks.com", "prometheus.io", "www.w3.org")
RESERVED = ("example", "example.com", "example.net", "example.org", "invalid", "test")


def check_whitespace(tree):
    found = []
    for name in tree.text_files():
        with open(tree.path(name), "rb") as f:
            data = f.read()
        try:
            data.decode("utf-8")
        except UnicodeDecodeError as why:
            found.append(f"{name}: is not UTF-8 at byte {why.start}")
            continue
        if b"\r" in data:
            found.append(f"{name}: has carriage returns")
        if data and (not data.endswith(b"\n") or data.endswith(b"\n\n")):
            found.append(f"{name}: must end in exactly one newline")
        spaces_only = name.endswith((".py", ".md", ".conf", ".sql", ".service", ".socket"))
        for number, line in tree.lines(name):
            if line.endswith((" ", "\t")):
                found.append(f"{name}:{number}: white space at the end of the line")
            if spaces_only and "\t" in line:
                found.append(f"{name}:{number}: a tab, where spaces are used")
            if name.endswith(C_LIKE) and line.startswith("        "):
                found.append(f"{name}:{number}: indented by spaces, where tabs are used")
    return found


def check_words(tree):
    left_over = re.compile(r"\b([T]ODO|[F]IXME|[X]XX)\b|^(<<<<<<<|>>>>>>>) ")
    return [f"{name}:{number}: left over: {line.strip()[:60]}"
            for name in tree.text_files() for number, line in tree.lines(name)
            if left_over.search(line)]


def host_allowed(host):
    host = host.strip("[]").lower()
    if "." not in host and ":" not in host:
        return True  # no name on any network: "localhost", "x", "$host"
    if any(host == h or host.endswith("." + h) for h in HOSTS + RESERVED):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_multicast or not address.is_global


def check_paths(tree):
    """No path of one machine, no host that packages come from."""
    # mkdtemp() fills in the X.
    path = re.compile(r"(?<![\w$}.~-])/(?:work|root|home|tmp(?!/[\w.-]+X{6}))/")
    package_host = re.compile(r"\b[\w.-]*(?:debian|ubuntu|pypi|pythonhosted|npmjs|nodesource|"
                              r"crates|githubusercontent)\.(?:org|io|com)\b")
    address = re.compile(r"\b(?:https?|ftp)://(?:[^\s/@'\"`]*@)?(\[[^\]]*\]|[\w.${}%-]*\w)")
    found = []
    for name in tree.text_files():
        for number, line in tree.lines(name):
            where = f"{name}:{number}"
            if name == "debian/copyright" and line.startswith("Format: "):
                continue  # an address is the name of the file's form
            if path.search(line):
                found.append(f"{where}: a path of one machine: {line.strip()[:80]}")
            if package_host.search(line):
                found.append(f"{where}: a host of packages: {package_host.search(line).group()}")
            found += [f"{where}: {host} is no host that the tree may name (HOSTS in "
                      "tests/lint/check_tree.py)"
                      for host in address.findall(line) if not host_allowed(host)]
    return found


def scripts(tree):
    return [name for name in tree.text_files()
            if name.endswith(".sh") or tree.read(name).startswith("#!/bin/sh")]


def check_shell(tree):
    found = []
    if not scripts(tree):
        found.append("no shell script is there")
    for name in scripts(tree):
        out, code = tree.run(["sh", "-n", name])
        if code:
            found.append(f"{name}: sh -n: {out.strip()}")
        if not os.access(tree.path(name), os.X_OK):
            found.append(f"{name}: is not executable; run `chmod +x {name}`")
    if shutil.which("shellcheck"):
        out, code = tree.run(["shellcheck", "-s", "sh", "-f", "gcc", *scripts(tree)])
        if code:
            found += out.strip().split("\n")
    else:
        print("note: shellcheck is not installed, so only `sh -n` looked at the scripts")
    return found


def check_python(tree):
    found = []
    names = [f for f in tree.text_files() if f.endswith(".py")]
    if not names:
        found.append("no Python file is there")
    for name in names:
        try:
            compile(tree.read(name), name, "exec")
        except SyntaxError as why:
            found.append(f"{name}:{why.lineno}: {why.msg}")
        found += [f"{name}:{number}: has {len(line)} columns, 100 are allowed"
                  for number, line in tree.lines(name) if len(line) > 100]
    return found


def check_fixtures(tree):
    """git must hand out the bytes that the platform sent, on every machine."""
    name = ".gitattributes"
    text = tree.read(name) if name in tree.files else ""
    return [f"{name}: the line `{folder}** -text` is missing"
            for folder in FIXTURES if f"{folder}** -text" not in text]


CHECKS = {
    "whitespace": check_whitespace,
    "words": check_words,
    "paths": check_paths,
    "shell": check_shell,
    "python": check_python,
    "fixtures": check_fixtures,
}
