"""docs/install.md, line by line: from a machine with nginx and the .deb to a stored callback."""

import os
import re
import shutil

from container import ROOT, SECRET

SECTIONS = ("Nine commands", "Look at it", "Before the platform calls", "Building the package")


def commands(section, page="docs/install.md"):
    """The indented blocks of a section; a line that ends in a pipe goes on in the next."""
    text = open(os.path.join(ROOT, page)).read().split("\n## ")[1 + SECTIONS.index(section)]
    # In a list a block is indented by its item's text and four more.
    blocks = [line.strip() for line in text.split("\n")
              if re.match(r" {8}" if re.search(r"^(\d+\.|-) ", text, re.M) else r" {4}", line)]
    return re.sub(r"\|\n", "| ", "\n".join(blocks)).split("\n")


def test_chinese_page_has_the_same_commands():
    for section in SECTIONS:
        assert commands(section, "docs/install.zh-CN.md") == commands(section) != [""]


def test_page_leads_to_a_stored_signed_callback_in_under_ten_commands(machine, package):
    # Somebody who may use sudo, with the package in the home directory.
    machine.run("echo 127.0.1.1 $(hostname) >> /etc/hosts; "
                "useradd -m -d /srv/somebody -s /bin/bash somebody && "
                "echo 'somebody ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/somebody")
    shutil.copy(package["deb"], machine.root + "/srv/somebody")

    def type_in(command):
        machine.write("/srv/somebody/command", command + "\n", 0o644)
        return machine.run("runuser -l somebody -c 'bash -e -o pipefail command'",
                           stdin=SECRET + "\n" if "/dev/stdin" in command else None)

    first = commands("Nine commands")
    assert len(first) == 9
    answer = [type_in(command) for command in first][-1]
    assert answer.endswith('{"status":200,"msg":"","data":null}')
    event, = machine.run("orderhook events --format csv").splitlines()[1:]
    # The address is the caller's, which only nginx can have told.
    for field in ("TDH1", "signed", "applied", "127.0.0.1"):
        assert field in event.split(",")

    for command in commands("Look at it") + commands("Before the platform calls"):
        if "doctor" in command:
            # A container has no clock of its own to be kept in time.
            found = type_in(command + " --format csv || true").splitlines()[1:]
            assert [line for line in found if not line.startswith("clock,")] == []
        else:
            assert type_in(command)
    assert machine.run("systemctl is-active orderhook-backup.timer").strip() == "active"
