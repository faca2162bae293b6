"""What the manual pages and docs/operations.md show is run, and prints what they show."""

import json
import os
import re
import subprocess

import pytest

import page_help
from conftest import ROOT, body_of, callback, captured, sign_flat, wait_until
from page_help import Scene, same, steps

PAGES = ["docs/operations.md", "docs/man/orderhook.1", "docs/man/orderhook.conf.5",
         "docs/man/orderhook-states.7", "docs/man/orderhookd.8"]
COURIER = {"id": "C1"}
BASE = "2025-05-30 16:"


def order(number, *states, shop="shopId"):
    return [body_of(callback(f"TDH{number}", status, sub, BASE + at, orderNo=f"m-{number}",
                             shopId=shop, **({"courier": COURIER} if status in (30, 40) else {})))
            for status, sub, at in states]


def serve(scene):
    scene.run("orderhook init && systemctl start orderhookd")


def serve_orders(scene):
    """Orders that ended, and one that did not get beyond its courier."""
    serve(scene)
    for body in captured() + order("1001", (20, 1, "00:00"), (30, 1, "02:00")):
        assert scene.post(body) == 200


def minimal(scene):
    page = open(os.path.join(ROOT, "docs/man/orderhook.conf.5"), encoding="utf-8").read()
    scene.write("home/minimal.conf", page.split("$ cat minimal.conf\n", 1)[1].split("$ ", 1)[0])


def refuse_a_shop(scene):
    serve_orders(scene)
    for body in order("2001", (20, 1, "10:00"), (30, 1, "11:00"), shop="shop-2"):
        assert scene.post(body) == 401
    # They are written within a second.
    wait_until(lambda: len(scene.run("orderhook held --format jsonl").splitlines()) == 2)


def quarantine(scene):
    serve_orders(scene)
    for body in order("3001", (20, 1, "20:00"), (60, None, "25:00"), (40, 1, "26:00")):
        assert scene.post(body) == 200


def new_secret(scene):
    serve_orders(scene)
    scene.write("home/new-secret", NEW_SECRET)


def sign_with(secret, number, status):
    def sign(scene):
        members = callback(f"TDH{number}", 20, 1, BASE + "30:00", orderNo=f"m-{number}")
        assert scene.post(sign_flat(members, secret)) == status
        if status != 200:
            wait_until(lambda: scene.run("orderhook held --format jsonl 2>/dev/null"))
    return sign


def backed_up(scene):
    serve_orders(scene)
    scene.run("orderhook backup /var/backups/orderhook.db")
    for body in order("5001", (20, 1, "40:00"), (30, 1, "41:00")):
        assert scene.post(body) == 200


def flip(scene):
    """One bit of an event's body, on the disk."""
    scene.run("systemctl stop orderhookd")
    path = os.path.join(scene.dir, "lib/orderhook.db")
    content = bytearray(open(path, "rb").read())
    at = content.index(b'"TDH1001","orderNo"')
    content[at + 4] ^= 1
    with open(path, "wb") as f:
        f.write(content)
    scene.run("systemctl start orderhookd")


def full_disk(scene):
    """A small file system for the store, and a file that takes what is left of it."""
    lib = os.path.join(scene.dir, "lib")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", lib],
                          capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"needs root to mount a small file system: {done.stderr.strip()}")
    scene.mounted = lib
    serve_orders(scene)
    with open(os.path.join(lib, "core.1234"), "wb", buffering=0) as f:
        try:
            while f.write(bytes(4096)):
                pass
        except OSError:
            pass
    assert scene.post(order("6001", (20, 1, "50:00"))[0]) == 503


def try_again(scene):
    assert scene.post(order("6001", (20, 1, "50:00"))[0]) == 200


def move(scene):
    """The other machine, with the copy on it."""
    scene.run("systemctl stop orderhookd && rm -f /var/lib/orderhook/*")
    scene.run("mv /var/backups/move.db .")


SCENES = {"captured": serve_orders, "minimal": minimal, "running": serve_orders,
          "refused": refuse_a_shop, "stuck": quarantine, "rotates": new_secret,
          "damaged": backed_up, "full": full_disk, "restore": backed_up, "upgrade": serve_orders,
          "erase": backed_up, "grows": serve_orders, "moves": serve_orders}
NEW_SECRET = "the-new-secret-of-the-platform"
THEN = {"signed-with-the-old": sign_with(page_help.SECRET, 4001, 200),
        "signed-with-the-new": sign_with(NEW_SECRET, 4002, 200),
        "signed-too-late": sign_with(page_help.SECRET, 4003, 401),
        "a-bit-flips": flip, "on-the-new-machine": move, "the-platform-tries-again": try_again}
CASES = [(page, name, walk) for page in PAGES for name, walk in steps(page)]


@pytest.fixture
def scene(tmp_path):
    one = Scene(tmp_path / "s")
    one.mounted = None
    yield one
    if one.mounted:
        one.run("systemctl stop orderhookd")
        subprocess.run(["umount", one.mounted], check=True)
    one.end()


@pytest.mark.parametrize("page, name, walk", CASES,
                         ids=[f"{os.path.basename(page)}-{name}" for page, name, _ in CASES])
def test_the_page_shows_what_is_printed(scene, page, name, walk):
    SCENES[name](scene)
    for kind, what in walk:
        if kind == "then":
            THEN[what](scene)
            continue
        command, shown = what
        printed = scene.run(command).splitlines()
        assert same(shown, printed), f"{page}: $ {command}\n" + "\n".join(printed)


def help_examples(scene):
    """(command, an example of its help in one line), the remarks behind it left out."""
    listed = scene.run("orderhook --help").split("Options before")[0]
    for name in re.findall(r"^  ([a-z]+)", listed, re.M):
        text = scene.run(f"orderhook help {name}").split("Examples:\n", 1)[1]
        for example in re.split(r"^  (?=\S)", text, flags=re.M)[1:]:
            lines = [re.sub(r"\s{2,}\S.*", "", line.strip()) for line in example.splitlines()]
            yield name, "\n".join(lines)


def test_the_examples_of_every_help_are_taken(scene):
    """They may find nothing here, but none of them is a mistake in the command line."""
    serve_orders(scene)
    scene.write("home/secret", page_help.SECRET)
    scene.write("home/token", page_help.TOKEN)
    scene.write("home/body.json", captured()[0].decode())
    found = list(help_examples(scene))
    assert len(found) >= 30
    for name, example in found:
        assert f" {name}" in example
        # Without what has no end, and a thousand orders; nobody listens there.
        line = re.sub(r"-f\b", "", example).replace("URL", "http://127.0.0.1:1/")
        line = re.sub(r"--orders \d+", "--orders 1 --retry-interval 1ms", line)
        printed = scene.run(line + "; echo $?")
        assert "--help'" not in printed and int(printed.split()[-1]) not in (2, 126, 127), \
            f"$ {line}\n{printed}"


def test_every_page_and_every_runbook_is_run():
    assert {page for page, _, _ in CASES} == set(PAGES)
    page = open(os.path.join(ROOT, "docs/operations.md"), encoding="utf-8").read()
    for part in re.split(r"^## ", page, flags=re.M)[1:]:
        assert "<!-- scene: " in part and "\n    $ " in part, part.splitlines()[0]
