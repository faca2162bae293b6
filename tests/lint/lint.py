"""Checks of the source tree that no compiler makes; `make lint` is the way in.

    lint.py           runs every check
    lint.py NAME...   runs these
    lint.py --list    names them, one a line

Exit: 0 nothing found, 1 findings, 2 usage, 77 when the only check asked for had to be skipped.
A check whose input is missing fails: silence must mean that something was looked at. The check
"self" breaks a small tree in every way that the others look for, and demands to be told.
"""

import sys

sys.dont_write_bytecode = True

import check_code  # noqa: E402
import check_docs  # noqa: E402
import check_self  # noqa: E402
import check_tests  # noqa: E402
import check_tree  # noqa: E402
from tree import ROOT, Skip, Tree  # noqa: E402

EXIT_SKIPPED = 77
CHECKS = {**check_code.CHECKS, **check_tree.CHECKS, **check_tests.CHECKS, **check_docs.CHECKS}
CHECKS["self"] = lambda tree: check_self.run(
    {name: check for name, check in CHECKS.items() if name != "self"})


def run(name, tree):
    """True: nothing found, False: findings, None: skipped."""
    try:
        findings = list(CHECKS[name](tree))
    except Skip as why:
        print(f"skipped {name}: {why}")
        return None
    for finding in findings:
        print(finding)
    print(f"{'FAILED' if findings else 'ok':7} {name}"
          + (f" ({len(findings)} findings)" if findings else ""), flush=True)
    return not findings


def main(arguments):
    if arguments == ["--list"]:
        print("\n".join(CHECKS))
        return 0
    unknown = [a for a in arguments if a not in CHECKS]
    if unknown:
        print(f"lint: there is no check {unknown[0]!r}; `lint.py --list` names them",
              file=sys.stderr)
        return 2
    tree = Tree(ROOT)
    results = [run(name, tree) for name in arguments or CHECKS]
    if False in results:
        return 1
    return EXIT_SKIPPED if results == [None] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
