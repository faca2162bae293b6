"""What README.md and README.zh-CN.md show as output is what the programs print. Numbers, times and
the scratch directory differ from run to run; every word and every line must be there."""

import json
import os
import re
import subprocess

import pytest

from conftest import BUILD, ROOT, captured, sign_flat, tool

ORDER = "cp451412923563114496"


def shown(readme, name):
    """The lines between the two markers."""
    with open(os.path.join(ROOT, readme), encoding="utf-8") as f:
        text = f.read()
    block = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", text, re.S).group(1)
    return words_of(block)


def words_of(text):
    text = re.sub(r"\S*/orderhook\.(db|conf)", r"FILE.\1", text)
    text = re.sub(r"[A-Z]*[a-z]*\d[\w:.-]*", "N", text)
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def demo():
    done = subprocess.run([os.path.join(ROOT, "tests/demo.sh"), BUILD], capture_output=True,
                          text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_demo_prints_what_the_readme_shows(demo, readme):
    # Sorted: which of the orders ends first is not the seed's to say.
    assert sorted(words_of(demo)) == sorted(shown(readme, "demo-output"))


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_show_prints_what_the_readme_shows(daemon, readme):
    for body in captured():
        assert daemon.post(sign_flat(json.loads(body))).status == 200
    for body in captured():
        assert daemon.post(body).status == 200
    screen = tool("show", ORDER, conf=daemon.conf, check=True).stdout
    assert words_of(screen) == shown(readme, "show-output")


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_check_ends_as_the_readme_shows(readme):
    assert re.fullmatch(r"N passed, N failed", shown(readme, "check-output")[-1])
