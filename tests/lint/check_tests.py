"""Checks of the tests themselves: each is run, and each can fail."""

import ast
import re

from tree import code_only, functions

ASSERTION = re.compile(r"\b(?:assert_\w+|fail|fail_msg|expect_\w+)\s*\(")


def asserting(bodies):
    """The names whose body asserts, itself or through another of the bodies."""
    known = {name for name, body in bodies.items() if ASSERTION.search(body)}
    while True:
        more = {name for name, body in bodies.items() if name not in known
                and known & set(re.findall(r"\b(\w+)\s*\(", body))}
        if not more:
            return known
        known |= more


def check_unit_tests(tree):
    files = tree.under("tests/unit/test_", ends=(".c",))
    found = [] if files else ["tests/unit/: no test is there"]
    for name in files:
        bodies = {}
        lines = {}
        for function, first, _, body in functions(tree.read(name)):
            bodies[function], lines[function] = body, first
        code = code_only(tree.read(name))
        tests = re.findall(r"^static void (\w+)\(void \*\*\w+\)\n\{", code, re.M)
        main = bodies.get("main", "")
        if not tests or not main:
            found.append(f"{name}: has no test, or no main")
        for test in tests:
            where = f"{name}:{lines.get(test, 1)}: {test}"
            if len(re.findall(rf"\b{test}\b", code)) < 2:
                found.append(f"{where} is not registered, so it never runs")
            if test not in asserting(bodies):
                found.append(f"{where} asserts nothing, so it cannot fail")
    return found


def python_functions(tree, name):
    return {node.name: node for node in ast.walk(ast.parse(tree.read(name)))
            if isinstance(node, ast.FunctionDef)}


def python_asserts(node, others, depth=3):
    """An assert, pytest.raises or fail in it, or in one of our functions that it calls."""
    for part in ast.walk(node):
        if isinstance(part, ast.Assert):
            return True
        if isinstance(part, ast.Call):
            called = getattr(part.func, "id", getattr(part.func, "attr", ""))
            if called in ("raises", "fail"):
                return True
            if depth and called in others and python_asserts(others[called], others, depth - 1):
                return True
    return False


def check_integration_tests(tree):
    files = tree.under("tests/integration/test_", ends=(".py",))
    found = [] if files else ["tests/integration/: no test is there"]
    shared = {}
    for name in tree.under("tests/integration/conftest", ends=(".py",)):
        shared.update(python_functions(tree, name))
    for name in files:
        own = python_functions(tree, name)
        tests = [node for node in ast.parse(tree.read(name)).body
                 if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
        names = [t.name for t in tests]
        found += [f"{name}: {n} is there twice, so the first never runs"
                  for n in sorted({n for n in names if names.count(n) > 1})]
        found += [f"{name}:{t.lineno}: {t.name} asserts nothing, so it cannot fail"
                  for t in tests if not python_asserts(t, {**shared, **own})]
        if not tests:
            found.append(f"{name}: has no test")
    return found


CHECKS = {
    "unit-tests": check_unit_tests,
    "integration-tests": check_integration_tests,
}
