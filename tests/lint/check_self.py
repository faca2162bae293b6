"""The check of the checks: in a small tree that is right none finds anything; broken in each of
the ways below, or robbed of its input, the check that is named must tell."""

import contextlib
import io
import os
import tempfile

from tree import ROOT, Skip, Tree

C_MAIN = ("static int setup(void **state)\n{\n\treturn !state;\n}\n\n"
          "int main(void)\n{\n\tconst struct CMUnitTest tests[] = {\n"
          "\t\tcmocka_unit_test(test_a),\n\t};\n"
          "\treturn cmocka_run_group_tests(tests, 0, 0);\n}\n")
TEST_C = "static void test_a(void **state)\n{\n\tassert_null(state);\n}\n\n" + C_MAIN
MAN_PAGE = (".Dd May 1, 2025\n.Dt A 1\n.Os x\n.Sh NAME\n.Nm a\n.Nd does it\n"
            ".Sh DESCRIPTION\n.Ic orderhook show\n")
LAYERS = ("[layers]\nbase:\nstore: base\nhttp: base\n"
          "[headers]\nbase: a.h banned.h tbl/command.def tbl/config_key.def tbl/error.def "
          "tbl/metric.def tbl/verdict.def\n"
          "store: store.h\nhttp: http.h\n"
          "[types only]\nhttp store.h: store_* ops\n"
          "[silent]\nlayers: base\nnames: stderr printf\n"
          "[libraries]\nmicrohttpd.h: src/http/*\n"
          "[libc]\nheaders: stdio.h sys/*\n")

GOOD = {
    ".clang-format": Tree(ROOT).read(".clang-format"),
    ".gitattributes": "tests/fixtures/** -text\ntests/fuzz/corpus/** -text\n",
    "CHANGELOG.md": "# Changes\n\n## 1.2.3\n",
    "Makefile": "VERSION := 1.2.3\nPACKAGES := sqlite3\n\nall:\n",
    "README.md": "[the page](docs/errors.md) `make all` `test_a` `src/base/a.c`\n",
    "docs/configuration.md": "`path` says where.\n",
    "docs/errors.md": "`not-found`: `orderhook -c x show X`.\n",
    "docs/man/a.1": MAN_PAGE,
    "docs/generate.py": "import sys\n\nsys.exit(0)\n",
    "etc/grafana/orderhook.json": '{"a": ["orderhook_b_count", "orderhook_c_total"]}\n',
    "etc/orderhook.conf": "# path = x\n",
    "etc/prometheus/orderhook.rules.yml":
        'rate(orderhook_c_total{outcome=~"not-found|ok",verdict="applied"}[5m])\n',
    "include/orderhook/a.h": "#pragma once\n\nint a(int b);\n",
    "include/orderhook/banned.h": "/*\n * BANNED strcpy gets    no bound\n */\n#pragma once\n",
    "include/orderhook/http.h": "#pragma once\n\n#include \"orderhook/store.h\"\n\n"
                                "int http(struct store_result *result);\n",
    "include/orderhook/store.h": "#pragma once\n\nstruct store_result {\n\tint err;\n};\n"
                                 "int store_open(void);\n",
    "include/orderhook/tbl/command.def": 'COMMAND(show, LOOK, 1, "", "")\n',
    "include/orderhook/tbl/config_key.def": 'CONFIG_KEY(STORE, "path", FILE)\n',
    "include/orderhook/tbl/error.def":
        'ERROR(NOT_FOUND, 0, CALLER, 0, "not-found", "it, (is) no")\n',
    "include/orderhook/tbl/metric.def":
        'METRIC(B, HISTOGRAM, "orderhook_b", "b")\nMETRIC(C, COUNTER, "orderhook_c_total", "c")\n',
    "include/orderhook/tbl/verdict.def": 'VERDICT(APPLIED, 0, "applied", "x")\n',
    "src/base/a.c": '#include "orderhook/a.h"\n\n#include <stdio.h>\n\n/* strcpy(a, b) */\n'
                    'int a(int b)\n{\n\treturn b + (int)sizeof("gets(\\"/tm' 'p/x-XXXXXX");\n}\n',
    "tests/fixtures/x.json": "{} \r\n",
    "tests/integration/test_1.py": "def helper():\n    assert 1\n\n\ndef test_b():\n    helper()\n",
    "tests/lint/layers.txt": LAYERS,
    "tests/run.sh": "#!/bin/sh\nexit 0\n",
    "tests/unit/test_a.c": TEST_C,
}

A_C = GOOD["src/base/a.c"]
# check: [(file, its new text or None for no file, words that the finding must have)]
BREAKS = {
    "format": [("src/base/a.c", A_C.replace("\treturn", "  return"), "src/base/a.c")],
    "layers": [
        ("src/base/a.c", '#include "orderhook/store.h"\n', "base may not include store.h"),
        ("src/base/a.c", "#include <microhttpd.h>\n", "may only be included in src/http"),
        ("src/base/a.c", "#include <zlib.h>\n", "neither libc's nor a library"),
        ("src/base/a.c", '#include "b_private.h"\n', "does not lie beside"),
        ("src/base/a.c", "void f(void)\n{\n\tfputs(x, stderr);\n}\n", "does not say them"),
        ("src/http/h.c", '#include "orderhook/store.h"\nint x = store_open();\n', "not store_open"),
        ("src/http/h.c", "int x = store->ops->write(store);\n", "types only"),
        ("src/lost/x.c", "int x;\n", "belongs to no layer"),
        ("include/orderhook/new.h", "#pragma once\n", "belongs to no layer"),
        ("tests/lint/layers.txt", LAYERS.replace("base:", "base: http", 1), "does not stand above"),
        ("tests/lint/layers.txt", None, "is not there"),
    ],
    "headers": [
        ("include/orderhook/a.h", "#pragma once\nsize_t a(void);\n", "gcc"),
        ("include/orderhook/a.h", "#pragma once\nsize_t a(void);\n", "clang"),
        ("include/orderhook/a.h", "struct a {\n\tint b;\n};\n", "gcc"),
        ("Makefile", "all:\n", "PACKAGES"),
    ],
    "banned": [
        ("src/base/a.c", A_C.replace("return", "strcpy(x, y);\n\treturn"), "no bound"),
        ("tests/unit/test_a.c", "int x = gets (y);\n", "gets() is banned"),
        ("include/orderhook/banned.h", "#pragma once\n", "no BANNED line"),
        ("include/orderhook/banned.h", None, "is not there"),
    ],
    "length": [
        ("src/base/a.c", "int a;\n" * 501, "has 501 lines"),
        ("tests/unit/test_a.c", "int a;\n" * 801, "has 801 lines"),
        ("src/base/a.c", "int f(void)\n{\n" + "\tx();\n" * 58 + "}\n", "f() has 61 lines"),
        ("tests/run.sh", "exit 0\n" * 801, "tests/run.sh"),
    ],
    "whitespace": [
        ("src/base/a.c", "int a; \n", "end of the line"),
        ("src/base/a.c", "int a;", "one newline"),
        ("src/base/a.c", "int a;\n\n", "one newline"),
        ("src/base/a.c", "int a;\r\n", "carriage"),
        ("src/base/a.c", "        int a;\n", "by spaces"),
        ("docs/errors.md", "\tx\n", "a tab"),
    ],
    "words": [
        ("src/base/a.c", "/* TO" "DO: later */\n", "left over"),
        ("docs/errors.md", "FIX" "ME\n", "left over"),
    ],
    "paths": [
        ("docs/errors.md", "cd /wo" "rk/x\n", "one machine"),
        ("src/base/a.c", '"/tm' 'p/x"\n', "one machine"),
        ("src/base/a.c", '"/ho' 'me/me/x"\n', "one machine"),
        ("docs/errors.md", "from pypi" ".org\n", "host of packages"),
        ("docs/errors.md", "http" "://mirror.corp.net/x\n", "no host that the tree may name"),
        ("docs/errors.md", "http" "://8.8.8.8/x\n", "no host that the tree may name"),
    ],
    "shell": [
        ("tests/run.sh", "#!/bin/sh\nif\n", "sh -n"),
        ("tests/other.sh", "#!/bin/sh\nexit 0\n", "not executable"),
        ("tests/run.sh", None, "no shell script"),
    ],
    "python": [
        ("docs/generate.py", "def\n", "docs/generate.py:1"),
        ("docs/generate.py", "x = " + "1" * 97 + "\n", "101 columns"),
    ],
    "fixtures": [(".gitattributes", None, "-text")],
    "unit-tests": [
        ("tests/unit/test_a.c", TEST_C.replace("assert_null", "f"), "asserts nothing"),
        ("tests/unit/test_a.c", TEST_C.replace("cmocka_unit_test(test_a)", "x"),
         "not registered"),
        ("tests/unit/test_a.c", "int main(void)\n{\n}\n", "has no test"),
        ("tests/unit/test_a.c", None, "no test is there"),
    ],
    "integration-tests": [
        ("tests/integration/test_1.py", "def test_b():\n    pass\n", "asserts nothing"),
        ("tests/integration/test_1.py", "def test_b():\n    assert 1\n" * 2, "twice"),
        ("tests/integration/test_1.py", None, "no test is there"),
    ],
    "config-docs": [
        ("docs/configuration.md", "nothing\n", "says nothing of `path`"),
        ("etc/orderhook.conf", "[store]\n", "does not show path"),
        ("include/orderhook/tbl/config_key.def", "\n", "no CONFIG_KEY row"),
        ("include/orderhook/tbl/config_key.def", None, "is not there"),
        ("docs/configuration.md", None, "is not there"),
        ("etc/orderhook.conf", None, "is not there"),
    ],
    "error-docs": [
        ("docs/errors.md", "nothing\n", "says nothing of `not-found`"),
        ("docs/errors.md", None, "is not there"),
        ("include/orderhook/tbl/error.def", "\n", "no ERROR row"),
    ],
    "metrics": [
        ("etc/grafana/orderhook.json", '["orderhook_b_sum"]\n', "does not show orderhook_c_total"),
        ("etc/grafana/orderhook.json", '["orderhook_b_sum" "orderhook_c_total"]\n', "is not JSON"),
        ("etc/prometheus/orderhook.rules.yml", "orderhook_b > 0\n", "there is no orderhook_b ("),
        ("etc/prometheus/orderhook.rules.yml", 'x{outcome=~"ok|lost"}\n', "there is no lost"),
        ("etc/prometheus/orderhook.rules.yml", 'x{verdict="odd"}\n', "there is no odd"),
        ("etc/prometheus/orderhook.rules.yml", None, "is not there"),
        ("include/orderhook/tbl/metric.def", "\n", "no METRIC row"),
    ],
    "generated": [
        ("docs/generate.py", "import sys\n\nsys.exit('old: ' + sys.argv[1])\n", "old: --check"),
        ("docs/generate.py", None, "is not there"),
    ],
    "links": [
        ("README.md", "[x](docs/none.md)\n", "docs/none.md is not there"),
        ("README.md", "`src/base/none.c`\n", "src/base/none.c is not there"),
        ("README.md", "`make nothing`\n", "no target nothing"),
        ("README.md", "`test_none`\n", "no test test_none"),
    ],
    "man": [
        ("docs/man/a.1", MAN_PAGE.replace(".Nd", ".Nx"), "without description"),
        ("docs/man/a.1", MAN_PAGE + ".Bl -tag\n", "a.1"),
        ("docs/man/a.1", None, "no manual page"),
    ],
    "commands": [
        ("docs/man/a.1", MAN_PAGE.replace("show", "dance"), "no command `orderhook dance`"),
        ("docs/errors.md", "`orderhook dance`\n", "no command `orderhook dance`"),
        ("src/base/a.c", "\"try 'orderhook -c f dance'\"\n", "no command `orderhook dance`"),
        ("include/orderhook/tbl/command.def", None, "is not there"),
    ],
    "version": [
        ("CHANGELOG.md", "# Changes\n\n## 1.2.2\n", "VERSION"),
        ("CHANGELOG.md", None, "is not there"),
    ],
}


def write(root, files):
    for name, text in files.items():
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", newline="") as f:
            f.write(text)
        if name == "tests/run.sh":
            os.chmod(path, 0o755)


def look(check, changes):
    """What the check finds in the good tree with some files changed or taken away."""
    files = {name: text for name, text in {**GOOD, **changes}.items() if text is not None}
    with tempfile.TemporaryDirectory() as root:
        write(root, files)
        with contextlib.redirect_stdout(io.StringIO()):
            return list(check(Tree(root)))


def run(checks):
    found = [f"self: {name} is never broken here, so nobody knows whether it can fail"
             for name in checks if name not in BREAKS]
    for name, check in checks.items():
        try:
            found += [f"self: {name} finds fault with a tree that is right: {f}"
                      for f in look(check, {})]
            for path, text, words in BREAKS.get(name, []):
                findings = look(check, {path: text})
                if not any(words in f for f in findings):
                    found.append(f"self: {name} did not tell {words!r} of {path}, but {findings}")
        except Skip as why:
            print(f"note: {name} was not tried here: {why}")
    return found
