"""`make install` into a scratch root: what is there, that it runs, and that it can go again."""

import os
import re
import shutil
import stat
import subprocess

import pytest

from conftest import BUILD, ROOT

UNITS = ["orderhookd.service", "orderhookd.socket", "orderhookd-admin.socket",
         "orderhookd@.service", "orderhookd@.socket", "orderhookd-admin@.socket",
         *(f"orderhook-{job}.{kind}" for job in ("attention", "backup", "prune")
           for kind in ("service", "timer"))]
CONFINED = "orderhook-.service.d/confined.conf"
EXAMPLES = ["systemd/tcp.conf", "systemd/notify-reload.conf",
            "nginx/conf.d/orderhook.conf", "nginx/orderhook-allow.conf", "haproxy/orderhook.cfg",
            "haproxy/orderhook-allow.lst", "caddy/Caddyfile",
            "prometheus/orderhook.rules.yml", "grafana/orderhook.json"]
CONF = "etc/orderhook/orderhook.conf"


def make(target, **variables):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        ["make", target, f"BUILD={os.path.relpath(BUILD, ROOT)}",
         *(f"{k}={v}" for k, v in variables.items())],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def files_under(root):
    return {os.path.relpath(os.path.join(folder, name), root)
            for folder, _, names in os.walk(root) for name in names}


def expected(prefix, units):
    pages = os.path.join(ROOT, "docs/man")
    man = [p for p in (os.listdir(pages) if os.path.isdir(pages) else ())
           if re.search(r"\.[1-9]$", p)]
    return {
        f"{prefix}/sbin/orderhookd": 0o755, f"{prefix}/bin/orderhook": 0o755, CONF: 0o644,
        f"{prefix}/lib/sysusers.d/orderhook.conf": 0o644,
        f"{prefix}/lib/tmpfiles.d/orderhook.conf": 0o644,
        f"{prefix}/lib/systemd/catalog/orderhook.catalog": 0o644,
        **{f"{prefix}/share/doc/orderhook/examples/{example}": 0o644 for example in EXAMPLES},
        **{f"{units}/{unit}": 0o644 for unit in (*UNITS, CONFINED)},
        f"{prefix}/share/bash-completion/completions/orderhook": 0o644,
        f"{prefix}/share/zsh/site-functions/_orderhook": 0o644,
        f"{prefix}/share/fish/vendor_completions.d/orderhook.fish": 0o644,
        **{f"{prefix}/share/man/man{page[-1]}/{page}": 0o644 for page in man},
    }


def installed_as_a_package(root):
    make("install", DESTDIR=root, PREFIX="/usr", UNITDIR="/lib/systemd/system")
    return expected("usr", "lib/systemd/system")


def test_install_copies_exactly_these_files_with_these_modes(tmp_path):
    root = tmp_path / "a root"
    wanted = installed_as_a_package(root)
    assert files_under(root) == set(wanted)
    for name, mode in wanted.items():
        assert stat.S_IMODE(os.stat(root / name).st_mode) == mode, name


def test_installed_programs_run(tmp_path):
    installed_as_a_package(tmp_path)
    for program in "usr/sbin/orderhookd", "usr/bin/orderhook":
        done = subprocess.run([tmp_path / program, "--version"], capture_output=True, text=True,
                              timeout=20)
        name = os.path.basename(program)
        assert re.fullmatch(rf"{name} \d+\.\d+\.\d+\n", done.stdout), done


def test_installed_texts_name_the_paths_of_the_installation(tmp_path):
    wanted = installed_as_a_package(tmp_path)
    for name, line in (("orderhookd", "/usr/sbin/orderhookd -c /etc/orderhook/orderhook.conf\n"),
                       ("orderhook-prune", "/usr/bin/orderhook -c /etc/orderhook/orderhook.conf")):
        unit = (tmp_path / f"lib/systemd/system/{name}.service").read_text()
        assert "ExecStart=" + line in unit
    for name in wanted:
        if not name.startswith(("usr/sbin", "usr/bin")):
            assert not re.search(r"@\w+@", (tmp_path / name).read_text()), name


def test_second_install_keeps_the_operators_configuration(tmp_path):
    installed_as_a_package(tmp_path)
    (tmp_path / CONF).write_text("# mine\n")
    installed_as_a_package(tmp_path)
    assert (tmp_path / CONF).read_text() == "# mine\n"


def test_uninstall_leaves_the_configuration_and_what_others_put_there(tmp_path):
    installed_as_a_package(tmp_path)
    (tmp_path / "usr/bin/another").write_text("")
    make("uninstall", DESTDIR=tmp_path, PREFIX="/usr", UNITDIR="/lib/systemd/system")
    assert files_under(tmp_path) == {CONF, "usr/bin/another"}


@pytest.fixture
def units(tmp_path):
    """Installed where they say they are: systemd looks for the programs that a unit names."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    make("install", PREFIX=tmp_path / "usr", SYSCONFDIR=tmp_path / "etc",
         UNITDIR=tmp_path / "units")
    return [str(tmp_path / "units" / unit) for unit in UNITS]


def test_systemd_finds_no_fault_with_the_units(units):
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True,
                          text=True, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("name", [unit for unit in UNITS if unit.endswith(".service")])
def test_service_is_confined(tmp_path, name):
    """10 of systemd's hundred points of exposure, 1.0, are the most that is allowed."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    installed_as_a_package(tmp_path)
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=10",
                           "--no-pager", f"--root={tmp_path}", name], capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_version_of_the_package_is_that_of_the_programs():
    make_says = re.search(r"^VERSION := (\S+)$", open(os.path.join(ROOT, "Makefile")).read(), re.M)
    changelog = open(os.path.join(ROOT, "debian/changelog")).readline()
    assert changelog.startswith(f"orderhook ({make_says.group(1)})")


def test_template_differs_from_the_service_only_in_its_names():
    def lines(name):
        text = open(os.path.join(ROOT, "systemd", name)).read()
        text = text[text.index("[Unit]"):]
        for with_instance, without in (("@%i", ""), (" %i,", ","), ("/%i.conf", "/orderhook.conf"),
                                       ("/%i/", "/"), ("orderhook-%i", "orderhook")):
            text = text.replace(with_instance, without)
        return text

    assert lines("orderhookd@.service") == lines("orderhookd.service")
    assert lines("orderhookd@.socket") == lines("orderhookd.socket")
    assert lines("orderhookd-admin@.socket") == lines("orderhookd-admin.socket")


def test_reload_drop_in_is_installed_where_it_is_asked_for(tmp_path):
    make("install", DESTDIR=tmp_path, PREFIX="/usr", UNITDIR="/units", NOTIFY_RELOAD="1")
    for unit in "orderhookd", "orderhookd@":
        text = (tmp_path / f"units/{unit}.service.d/notify-reload.conf").read_text()
        assert "Type=notify-reload" in text


def test_journal_takes_the_catalog(tmp_path):
    if not shutil.which("journalctl"):
        pytest.skip("journalctl is not installed")
    folder = tmp_path / "usr/lib/systemd/catalog"
    folder.mkdir(parents=True)
    shutil.copy(os.path.join(ROOT, "systemd/orderhook.catalog"), folder)
    (tmp_path / "var/lib/systemd/catalog").mkdir(parents=True)
    done = subprocess.run(["journalctl", f"--root={tmp_path}", "--update-catalog"],
                          capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    done = subprocess.run(["journalctl", f"--root={tmp_path}", "--list-catalog", "--no-pager"],
                          capture_output=True, text=True, timeout=60)
    rows = open(os.path.join(ROOT, "include/orderhook/tbl/message.def")).read().count("\nMESSAGE(")
    assert len(done.stdout.splitlines()) == rows > 0, done
