"""What the tests under systemd ask for; how it is made is in container.py."""

import pytest

from container import Machine, ready


@pytest.fixture(scope="session")
def package():
    """The paths of the .deb and the .changes, built from the tree as it is."""
    return ready()[1]


@pytest.fixture(scope="module")
def machine():
    """Booted, without the package. What happens in it is forgotten at the end of the file."""
    one = Machine(ready()[0])
    try:
        yield one
    finally:
        one.stop()


@pytest.fixture(scope="module")
def installed(machine, package):
    machine.install(package["deb"])
    return machine
