"""Runs what a page shows: each command in a scratch installation, and compares what it prints.

A page names a scene before the commands that it is for:

    <!-- scene: refused -->     in Markdown        .\\" scene: refused     in a manual page
    <!-- then: name -->         something happens  .\\" then: name

What is set like code and begins with "$ " is a command; more of it follows after a backslash; the
lines up to the next one are what it prints, and "…" among them stands for any number of lines.
Every such command must belong to a scene. The paths of an installation stand for the scratch one's.
"""

import os
import re
import shutil
import signal
import subprocess

from conftest import BUILD, DEADLINE_S, ROOT, Connection, request

SCRIPT = os.path.join(ROOT, "tests/lib/scene.sh")
TOKEN = "token-of-the-endpoint-1"
SECRET = "secret-of-the-platform-1"
PATHS = {"/etc/orderhook": "etc", "/var/lib/orderhook": "lib", "/run/orderhook": "run",
         "/var/backups": "backups"}


class Scene:
    def __init__(self, directory):
        self.dir = str(directory)
        self.env = {**os.environ, "SCENE": self.dir, "BUILD": BUILD, "LC_ALL": "C.UTF-8",
                    "NO_COLOR": "1", "TZ": "UTC-8",
                    "PATH": f"{self.dir}/bin:{os.environ['PATH']}"}
        for name in ["bin", "home", "etc/credentials", *PATHS.values()]:
            os.makedirs(os.path.join(self.dir, name), exist_ok=True)
        for name in ("orderhook", "orderhookd", "sudo", "systemctl", "journalctl", "install"):
            os.symlink(SCRIPT, os.path.join(self.dir, "bin", name))
        open(os.path.join(self.dir, "log"), "w").close()
        self.write("etc/credentials/shansong-token", TOKEN)
        self.write("etc/credentials/shansong-secret", SECRET)
        self.configure()

    def write(self, name, text):
        path = os.path.join(self.dir, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
            f.write(text)
        return path

    def configure(self, secret="credential:shansong-secret", shop_ids="shopId", more=""):
        self.write("etc/orderhook.conf", self.inside(
            "[server]\nlisten = unix:/run/orderhook/http.sock\n"
            "admin_listen = unix:/run/orderhook/admin.sock\n"
            "[store]\npath = /var/lib/orderhook/orderhook.db\n"
            "[endpoint shansong]\nplatform = shansong\npath = /callback/shansong\n"
            f"token = credential:shansong-token\nclient_id = clientId\nshop_ids = {shop_ids}\n"
            f"signature = if-present\nsecrets = {secret}\n{more}"))

    def inside(self, text):
        for path, name in PATHS.items():
            text = text.replace(path, os.path.join(self.dir, name))
        return text

    def outside(self, text):
        for path, name in PATHS.items():
            text = text.replace(os.path.join(self.dir, name), path)
        return text

    def run(self, command):
        """What the command prints, both streams, as a terminal would have it."""
        done = subprocess.run(["bash", "-c", self.inside(command)], env=self.env,
                              cwd=os.path.join(self.dir, "home"), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=2 * DEADLINE_S)
        return self.outside(done.stdout)

    def post(self, body):
        connection = Connection(os.path.join(self.dir, "run/http.sock"))
        connection.send(request("/callback/shansong/" + TOKEN, body))
        reply = connection.reply()
        connection.close()
        return reply.status

    def end(self):
        try:
            pid = int(open(os.path.join(self.dir, "pid")).read())
            os.kill(pid, signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError):
            pass
        shutil.rmtree(self.dir, ignore_errors=True)


def unescape(line):
    """A line of a literal block of mdoc, as it is shown."""
    line = line.replace("\\(aq", "'").replace("\\(ga", "`")
    return line.replace("\\&", "").replace("\\-", "-").replace("\\e", "\\")


def blocks(name):
    """(kind, text) of the page: scene and then with their names, code with its lines."""
    text = open(os.path.join(ROOT, name), encoding="utf-8").read()
    if name.endswith(".md"):
        pattern = r"^<!-- (scene|then): (\S+) -->$|((?:^    .*\n|^\n(?=    ))+)"
    else:
        pattern = r'^\.\\" (scene|then): (\S+)$|^\.Bd -literal.*\n((?:(?!\.Ed).*\n)*)\.Ed$'
    for match in re.finditer(pattern, text, re.M):
        if match.group(1):
            yield match.group(1), match.group(2)
        elif name.endswith(".md"):
            yield "code", [line[4:] for line in match.group(3).strip("\n").split("\n")]
        else:
            yield "code", [unescape(line) for line in match.group(3).strip("\n").split("\n")]


def steps(name):
    """(scene, [(kind, what)]) of the page; kind is then, or run with (command, lines)."""
    scenes = []
    for kind, what in blocks(name):
        if kind == "scene":
            scenes.append((what, []))
        elif kind == "then":
            scenes[-1][1].append(("then", what))
        elif what[0].startswith("$ "):
            assert scenes, f"{name}: {what[0]}: no scene"
            scenes[-1][1].extend(("run", step) for step in commands(what))
    return scenes


def commands(lines):
    found = []
    for line in lines:
        if line.startswith("$ "):
            found.append([line[2:], []])
        elif found[-1][0].endswith("\\") and not found[-1][1]:
            found[-1][0] = found[-1][0] + "\n" + line
        else:
            found[-1][1].append(line)
    return [(command, shown) for command, shown in found]


def plain(lines):
    """What differs from run to run, and how wide columns are, is left out of the comparison."""
    result = []
    for line in lines:
        line = re.sub(r"20\d\d-(?!05-30)\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?", "TIME", line)
        line = re.sub(r"\b20\d\d-(?!05-30)\d\d-\d\d\b", "DAY", line)
        line = re.sub(r"\b[0-9A-Fa-f]{16,}\b|\b[0-9A-F]{8}…", "HASH", line)
        line = re.sub(r"timestamp\d{13}", "timestampN", line)
        line = re.sub(r"\b\d+(\.\d+)? ?(ms|s|m|h|d|K|M|G|B|KiB|MiB|GiB|bytes|%)(?!\w)", "N", line)
        line = re.sub(r"\b\d+h\d+m?\b|\b\d+d\d+h\b|\b\d+m\d+s\b", "N", line)
        line = re.sub(r"\b(pid|process) \d+", r"\1 N", line)
        line = " ".join(line.split())
        if line:
            result.append(line)
    return result


def same(shown, printed):
    """True when the lines match; "…" alone on one stands for any number of them."""
    shown, printed = plain(shown), plain(printed)
    pattern = "".join(r"(?:.*\n)*" if line == "…" else re.escape(line) + r"\n" for line in shown)
    return re.fullmatch(pattern, "".join(line + "\n" for line in printed)) is not None
