"""The .deb without a machine to install it on: what lintian says, and that it can be made again."""

import os
import re
import shutil
import subprocess

import pytest

from container import ROOT, build_package, not_in_the_sample


@not_in_the_sample
def test_lintian_finds_nothing(package):
    if not shutil.which("lintian"):
        pytest.skip("NOT TESTED: apt-get install lintian")
    # Debian 12's lintian asks for a script for init beside units. None could have their sockets,
    # credentials and confinement; Debian 13's no longer asks, and refuses an override.
    done = subprocess.run(["lintian", "--allow-root", "--display-info", "--fail-on",
                           "error,warning,info", "--suppress-tags",
                           "package-supports-alternative-init-but-no-init.d-script",
                           package["changes"]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=300)
    assert done.returncode == 0 and done.stdout == "", done.stdout


@not_in_the_sample
def test_second_build_elsewhere_and_later_gives_the_same_bytes(package, tmp_path):
    again = build_package(tmp_path / "another" / "folder", umask=0o077)
    with open(package["deb"], "rb") as one, open(again["deb"], "rb") as other:
        assert one.read() == other.read()


def test_package_has_its_own_configuration_alone_for_a_conffile(package):
    def control(part):
        return subprocess.run(["dpkg-deb", "--info", package["deb"], part], capture_output=True,
                              text=True, check=True).stdout

    assert control("conffiles") == "/etc/orderhook/orderhook.conf\n"
    # An upgrade that stopped a socket would refuse callers.
    for script in ("postinst", "prerm"):
        assert not re.search(r"(restart|stop|start) [^\n]*\.socket.*upgrade", control(script))
    names = subprocess.run(["dpkg-deb", "--contents", package["deb"]], capture_output=True,
                           text=True, check=True).stdout
    units = [n for n in os.listdir(os.path.join(ROOT, "systemd"))
             if n.endswith((".service", ".socket", ".timer"))]
    assert units and all(f"/systemd/system/{unit}\n" in names for unit in units)
