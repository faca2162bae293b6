"""Checks of the C code: form, layers, headers, banned functions, length."""

import concurrent.futures
import configparser
import fnmatch
import os
import re
import shlex
import shutil
import subprocess
import tempfile

from tree import Skip, code_only, functions, line_of, missing, without_comments

# Versions of clang-format differ in what they make of the same settings: one of them decides.
CLANG_FORMAT_MAJOR = 14
FILE_LINES_MAX = 500
TEST_FILE_LINES_MAX = 800
FUNCTION_LINES_MAX = 60
LAYERS = "tests/lint/layers.txt"
BANNED = "include/orderhook/banned.h"
PUBLIC = "include/orderhook/"


def clang_format():
    """The program of the version that decides, under either of its names."""
    seen = "is not installed"
    for program in (f"clang-format-{CLANG_FORMAT_MAJOR}", "clang-format"):
        if not shutil.which(program):
            continue
        text = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
        seen = f"here is: {text.strip()}"
        if re.search(rf"version {CLANG_FORMAT_MAJOR}\.", text):
            return program
    raise Skip(f"needs clang-format {CLANG_FORMAT_MAJOR} (Debian 12's); {seen}")


def check_format(tree):
    files = tree.c_files()
    if not files:
        return ["no C file is there"]
    out, code = tree.run([clang_format(), "--dry-run", "-Werror", "--style=file", *files])
    wrong = sorted(set(re.findall(r"^(\S+?):\d+:\d+: error", out, re.M)))
    if code and not wrong:
        return [out.strip()]
    return [f"{name}: is not as clang-format writes it; run `clang-format -i {name}`"
            for name in wrong]


class Layers:
    def __init__(self, text):
        ini = configparser.ConfigParser(delimiters=(":",), comment_prefixes=("#",),
                                        interpolation=None)
        ini.optionxform = str
        ini.read_string(text)
        part = {name: {key: value.split() for key, value in ini[name].items()}
                for name in ini.sections()}
        self.uses = part["layers"]
        self.header_layer = {h: layer for layer, hs in part["headers"].items() for h in hs}
        self.types_only = {tuple(key.split()): names
                           for key, names in part["types only"].items()}
        self.silent = part["silent"]["layers"]
        self.silent_names = part["silent"]["names"]
        self.libraries = part["libraries"]
        self.libc = part["libc"]["headers"]

    def problems(self):
        above = []
        for layer, uses in self.uses.items():
            for used in uses:
                if used not in above:
                    yield f"{LAYERS}: {layer} uses {used}, which does not stand above it"
            above.append(layer)

    def layer_of(self, name):
        if name.startswith(PUBLIC):
            return self.header_layer.get(name[len(PUBLIC):])
        folder = name.split("/")[1]
        return folder if folder in self.uses else None

    def own_include(self, tree, name, layer, header):
        """What is wrong with #include "header" in a file of a layer, or None."""
        if not header.startswith("orderhook/"):
            beside = os.path.join(os.path.dirname(name), header)
            return None if beside in tree.files else f"{header} does not lie beside it"
        header = header[len("orderhook/"):]
        target = self.header_layer.get(header)
        if target is None:
            return f"{header} belongs to no layer in {LAYERS}"
        if target == layer or target in self.uses[layer] or (layer, header) in self.types_only:
            return None
        return f"{layer} may not include {header} of {target}"

    def library_include(self, name, header):
        for library, places in self.libraries.items():
            if fnmatch.fnmatch(header, library):
                if any(fnmatch.fnmatch(name, place) for place in places):
                    return None
                return f"<{header}> may only be included in {' '.join(places)}"
        if any(fnmatch.fnmatch(header, known) for known in self.libc):
            return None
        return f"<{header}> is neither libc's nor a library of {LAYERS}"


INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"]+)"|<([^>]+)>)', re.M)


def names_used(code, patterns):
    """(line, name) of identifiers that match, but as the tag of a struct or an enum."""
    for match in re.finditer(r"(\b(?:struct|enum)\s+)?\b([A-Za-z_]\w*)", code):
        if not match.group(1) and any(fnmatch.fnmatch(match.group(2), p) for p in patterns):
            yield line_of(code, match.start(2)), match.group(2)


def check_layers(tree):
    if LAYERS not in tree.files:
        return missing(tree, LAYERS)
    layers = Layers(tree.read(LAYERS))
    found = list(layers.problems())
    files = tree.under("src/", PUBLIC, ends=(".c", ".h", ".def"))
    for name in files:
        layer = layers.layer_of(name)
        if layer is None:
            found.append(f"{name}: belongs to no layer in {LAYERS}")
            continue
        text = without_comments(tree.read(name))
        for match in INCLUDE.finditer(text):
            own, library = match.groups()
            wrong = (layers.own_include(tree, name, layer, own) if own
                     else layers.library_include(name, library))
            if wrong:
                found.append(f"{name}:{line_of(text, match.start(0))}: {wrong}")
        code = code_only(tree.read(name))
        for (limited, header), patterns in layers.types_only.items():
            if limited == layer:
                found += [f"{name}:{n}: {layer} may use {header} for its types only, not {used}"
                          for n, used in names_used(code, patterns)]
        if layer in layers.silent:
            # What a function of ours formats is not printed.
            quiet = re.sub(r"format\(printf", "format(      ", code)
            found += [f"{name}:{n}: {layer} returns errors and does not say them: {used}"
                      for n, used in names_used(quiet, layers.silent_names)]
    if not files:
        found.append("src/: no C file is there")
    return found


def package_flags(tree):
    names = re.search(r"^PACKAGES := (.*)$", tree.read("Makefile"), re.M)
    if not names:
        return None
    return shlex.split(subprocess.run(["pkg-config", "--cflags", *names.group(1).split()],
                                      capture_output=True, text=True, check=True).stdout)


def check_headers(tree):
    headers = tree.under("src/", PUBLIC, ends=(".h",))
    flags = package_flags(tree) if "Makefile" in tree.files else None
    if flags is None or not headers:
        return ["Makefile: PACKAGES, or every header, is missing: nothing could be checked"]
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        sources = []
        for header in headers:
            source = os.path.join(scratch, header.replace("/", "__") + ".c")
            with open(source, "w") as f:
                # Twice: the second time must be harmless.
                f.write(f'#include "{tree.path(header)}"\n' * 2)
            sources.append(source)
        arguments = ["-fsyntax-only", "-std=gnu17", "-Wall", "-Wextra", "-Werror",
                     "-D_GNU_SOURCE", "-Iinclude", *flags, *sources]
        compilers = ("gcc", "clang")
        with concurrent.futures.ThreadPoolExecutor() as both:
            results = both.map(lambda compiler: tree.run([compiler, *arguments]), compilers)
        for compiler, (out, code) in zip(compilers, results):
            if code:
                first = "\n    ".join(out.replace(scratch + "/", "").strip().split("\n")[:8])
                found.append(f"{compiler}: a header does not compile alone:\n    {first}")
    return found


def check_banned(tree):
    if BANNED not in tree.files:
        return missing(tree, BANNED)
    names = {}
    for _, line in tree.lines(BANNED):
        match = re.match(r"[ */]*BANNED ((?:\w+ )+) +(\S.*)", line)
        if match:
            names.update({name: match.group(2) for name in match.group(1).split()})
    if not names:
        return [f"{BANNED}: has no BANNED line"]
    call = re.compile(r"(?<![\w.>])(" + "|".join(names) + r")\s*\(")
    found = []
    for name in tree.c_files():
        code = code_only(tree.read(name))
        found += [f"{name}:{line_of(code, m.start())}: {m.group(1)}() is banned: "
                  f"{names[m.group(1)]} ({BANNED})" for m in call.finditer(code)]
    return found


def check_length(tree):
    found = []
    sources = tree.under("src/", "include/", ends=(".c", ".h"))
    tests = tree.under("tests/", ends=(".c", ".h", ".py", ".sh"))
    for files, limit in ((sources, FILE_LINES_MAX), (tests, TEST_FILE_LINES_MAX)):
        if not files:
            found.append("src/ or tests/: no file is there")
        for name in files:
            lines = tree.read(name).count("\n")
            if lines > limit:
                found.append(f"{name}: has {lines} lines, {limit} are allowed: split it by topic")
    for name in sources:
        for function, first, last, _ in functions(tree.read(name)):
            if last - first + 1 > FUNCTION_LINES_MAX:
                found.append(f"{name}:{first}: {function}() has {last - first + 1} lines, "
                             f"{FUNCTION_LINES_MAX} are allowed")
    return found


CHECKS = {
    "format": check_format,
    "layers": check_layers,
    "headers": check_headers,
    "banned": check_banned,
    "length": check_length,
}
