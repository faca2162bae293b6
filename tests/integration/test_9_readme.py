"""What README.md and README.zh-CN.md show as output is what the programs print. Numbers, times and
the scratch directory differ from run to run; every word and every line must be there."""

import os
import re
import subprocess
import textwrap

import pytest

from conftest import BUILD, ROOT


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


def typed(daemon, readme, begin):
    """The commands of the readme that begin so, each run as it stands there but for its places."""
    with open(os.path.join(ROOT, readme), encoding="utf-8") as f:
        blocks = re.findall(r"(?:^    .*\n)+", f.read(), re.M)
    host, port = daemon.address
    for block in blocks:
        command = textwrap.dedent(block)
        if not command.startswith(begin):
            continue
        for old, new in {"build/run": daemon.dir, "build/orderhook": f"{BUILD}/orderhook",
                         "etc/orderhook.dev.conf": daemon.conf,
                         "127.0.0.1:8080": f"{host}:{port}"}.items():
            command = command.replace(old, new)
        yield subprocess.run(["bash", "-euc", command], cwd=ROOT, capture_output=True, text=True,
                             timeout=60)


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_the_five_callbacks_can_be_sent_as_the_readme_says(daemon, readme):
    loops = list(typed(daemon, readme, "for f in"))
    assert len(loops) == 2
    for done in loops:
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines() == ['{"status":200,"msg":"","data":null}'] * 5
    show, = typed(daemon, readme, "build/orderhook -c")
    assert (show.returncode, show.stderr) == (0, "")
    assert words_of(show.stdout) == shown(readme, "show-output")


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_check_ends_as_the_readme_shows(readme):
    assert re.fullmatch(r"N passed, N failed", shown(readme, "check-output")[-1])
