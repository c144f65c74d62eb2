"""Programs that Debian packages bring: installed where this runs as root on Debian, else asked for in one sentence."""

import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mm_cluster.failure import Failure
from mm_cluster.places import PROJECT
from mm_cluster.process import attempt, capture, run_step

GO_MODULE_FILE = PROJECT / "cluster" / "hyper" / "go.mod"

# Debian package of each program that any step calls.
PACKAGE_OF = {
    "dockerd": "docker.io",
    "docker": "docker.io",
    "docker-proxy": "docker.io",
    "iptables": "iptables",
    "mmdebstrap": "mmdebstrap",
    "zstd": "zstd",
    "tar": "tar",
    "chroot": "coreutils",
}

# System programs may be missing from a user's PATH.
_SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def find_program(name: str) -> str | None:
    """Path of a program on PATH or in the system's folders."""
    search = os.pathsep.join([os.environ.get("PATH", os.defpath), *_SYSTEM_FOLDERS])
    return shutil.which(name, path=search)


def require_programs(names: Iterable[str], *, why: str) -> None:
    """Make sure that programs exist; install their Debian packages when that is possible.

    Raises:
        Failure: something is missing and cannot be installed from here; the message says what and how.
    """
    missing = [name for name in names if find_program(name) is None]
    if not missing:
        return
    packages = sorted({PACKAGE_OF[name] for name in missing})
    if find_program("apt-get") is None:
        raise Failure(f"{why} needs {', '.join(missing)}: install them with your system's package manager.")
    if os.geteuid() != 0:
        raise Failure(f"{why} needs {', '.join(missing)}: run `sudo apt-get install {' '.join(packages)}`.")
    _apt_install(packages)
    still_missing = [name for name in missing if find_program(name) is None]
    if still_missing:
        raise Failure(f"apt-get installed {', '.join(packages)}, yet {', '.join(still_missing)} cannot be found.")


def _apt_install(packages: list[str]) -> None:
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
    if not any(Path("/var/lib/apt/lists").glob("*_Packages*")):
        run_step("apt-get update", ["apt-get", "update", "-q"], env=quiet)
    try:
        run_step("apt-get install", install, env=quiet)
    except Failure:  # package lists older than the archive name files that are gone
        run_step("apt-get update", ["apt-get", "update", "-q"], env=quiet)
        run_step("apt-get install", install, env=quiet)


@dataclass(frozen=True)
class Go:
    """A Go toolchain that can build the pinned modules, with the environment it is to run in."""

    program: str
    environment: dict[str, str]


def _version_of(text: str) -> tuple[int, int]:
    match = re.search(r"(?:go|golang.*?)[ -]?(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def go_needed() -> tuple[int, int]:
    """The Go version that `go.mod` asks for."""
    match = re.search(r"^go (\d+)\.(\d+)", GO_MODULE_FILE.read_text(), re.MULTILINE)
    if match is None:
        raise Failure(f"{GO_MODULE_FILE} names no Go version")
    return int(match[1]), int(match[2])


def _go_on_this_machine() -> list[str]:
    on_path = [found] if (found := find_program("go")) else []
    usual = ["/usr/local/go/bin/go", *sorted(map(str, Path("/usr/lib").glob("go-*/bin/go")), reverse=True)]
    return on_path + [path for path in usual if Path(path).exists()]


def _debian_go_version() -> tuple[int, int]:
    _, policy = attempt(["apt-cache", "policy", "golang-go"])
    match = re.search(r"Candidate: \d+:(\d+)\.(\d+)", policy)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def require_go() -> Go:
    """A Go toolchain new enough for `go.mod`.

    Go fetches a newer toolchain by itself since 1.21, as a Go module; so an older one will do where it can.
    """
    needed = go_needed()
    for allow_fetching in (False, True):
        for program in _go_on_this_machine():
            version = _version_of(capture([program, "env", "GOVERSION"], env={"GOTOOLCHAIN": "local"}))
            if version >= needed:
                return Go(program, {"GOTOOLCHAIN": "local"})
            if allow_fetching and version >= (1, 21):
                return Go(program, {"GOTOOLCHAIN": "auto"})
    if os.geteuid() == 0 and find_program("apt-get") and _debian_go_version() >= needed:
        _apt_install(["golang-go"])
        return require_go()
    text = f"{needed[0]}.{needed[1]}"
    raise Failure(f"Go {text} or newer is needed to build the cluster's programs: install it from https://go.dev/dl/.")
