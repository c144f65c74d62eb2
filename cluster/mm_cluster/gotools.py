"""Programs built from pinned Go modules into `<cache>/bin`.

`hyper` is every Kubernetes server, kubectl, etcd and coredns in one executable chosen by argv[0]; seven separate
ones take twice as long to build and three times the space. `kind`, `helm`, `pause` share its module, so that one
`go build` compiles their common packages once.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from mm_cluster.failure import Failure
from mm_cluster.fingerprint import fingerprint
from mm_cluster.lock import exclusive
from mm_cluster.pins import pins
from mm_cluster.places import CLUSTER, cache_subfolder, replacing, work_folder
from mm_cluster.prerequisites import Go, require_go
from mm_cluster.process import capture, run_step

HYPER_SOURCE = CLUSTER / "hyper"
KUBECONFORM_SOURCE = CLUSTER / "kubeconform"

HYPER_PROGRAMS = ("hyper", "kind", "helm", "pause")
# Names under which hyper is called on this machine.
APPLETS = ("kubectl", "etcd", "kube-apiserver", "kube-controller-manager")

_COMPILER_FLAGS = ("-trimpath", "-buildvcs=false", "-mod=readonly", "-gcflags=all=-dwarf=false")

# Above this much memory the compiler's garbage collector is switched off: a tenth less time, up to 6 GiB in use.
_PLENTY_OF_MEMORY_KIB = 12 << 20


def bin_folder() -> Path:
    """Folder of the built programs."""
    return cache_subfolder("bin")


def program(name: str) -> str:
    """Path of a built program.

    Raises:
        Failure: it has not been built.
    """
    path = bin_folder() / name
    if not path.exists():
        raise Failure(f"{path} is missing: run cluster/tools first.")
    return str(path)


def hyper_key() -> str:
    """Changes when a source, a module version or a flag of the Go build does."""
    return fingerprint(_go_sources(HYPER_SOURCE), also=[_linker_flags(), *_COMPILER_FLAGS])


def _go_sources(module: Path) -> list[Path]:
    return sorted(path for pattern in ("*.go", "go.mod", "go.sum") for path in module.rglob(pattern))


def _linker_flags() -> str:
    major, minor = re.findall(r"\d+", pins().kubernetes)[:2]
    stamps = {
        "gitVersion": pins().kubernetes,
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
        "gitCommit": "0" * 40,
        "buildDate": "2026-01-01T00:00:00Z",
    }
    flags = ["-s", "-w", "-X", f"helm.sh/helm/v3/internal/version.version={pins().helm}"]
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
        for name, value in stamps.items():
            flags += ["-X", f"{package}.{name}={value}"]
    return " ".join(flags)


def _build_environment(go: Go) -> dict[str, str]:
    memory = re.search(r"MemAvailable:\s+(\d+)", Path("/proc/meminfo").read_text())
    plenty = memory is not None and int(memory[1]) >= _PLENTY_OF_MEMORY_KIB
    return {**go.environment, "CGO_ENABLED": "0", "GOFLAGS": "", **({"GOGC": "off"} if plenty else {})}


def _go_build(name: str, packages: list[str], *, source: Path, linker_flags: str, built: list[str]) -> None:
    """One `go build` into a scratch folder, then each program renamed into place."""
    go = require_go()
    environment = _build_environment(go)
    with work_folder(f"go-{source.name}") as scratch:
        argv = [
            go.program,
            "-C",
            str(source),
            "build",
            "-v",
            *_COMPILER_FLAGS,
            "-ldflags",
            linker_flags,
            "-o",
            f"{scratch}/",
            *packages,
        ]
        run_step(name, argv, env=environment)
        for item in built:
            (scratch / item).replace(bin_folder() / item)


def _is_current(stamp: Path, key: str, programs: tuple[str, ...]) -> bool:
    complete = all((bin_folder() / item).exists() for item in programs)
    return complete and stamp.exists() and stamp.read_text() == key


def _write_stamp(stamp: Path, key: str) -> None:
    with replacing(stamp) as draft:
        draft.write_text(key)


def ensure_hyper() -> None:
    """Build hyper, kind, helm and pause unless they are there from the same inputs."""
    stamp = bin_folder() / ".hyper-key"
    if not _is_current(stamp, hyper_key(), HYPER_PROGRAMS):
        _go_build(
            "go build of Kubernetes, etcd, kind, helm",
            [".", "./pause", "helm.sh/helm/v3/cmd/helm", "sigs.k8s.io/kind"],
            source=HYPER_SOURCE,
            linker_flags=_linker_flags(),
            built=list(HYPER_PROGRAMS),
        )
        _write_stamp(stamp, hyper_key())
    for name in _missing_applets():
        with replacing(bin_folder() / name) as draft:
            draft.symlink_to("hyper")


def _missing_applets() -> Iterator[str]:
    return (name for name in APPLETS if not (bin_folder() / name).exists())


def ensure_kubeconform() -> None:
    """Build kubeconform unless it is there from the same inputs."""
    stamp = bin_folder() / ".kubeconform-key"
    key = fingerprint(_go_sources(KUBECONFORM_SOURCE), also=_COMPILER_FLAGS)
    if not _is_current(stamp, key, ("kubeconform",)):
        _go_build(
            "go build of kubeconform",
            ["github.com/yannh/kubeconform/cmd/kubeconform"],
            source=KUBECONFORM_SOURCE,
            linker_flags=f"-s -w -X main.version={pins().kubeconform}",
            built=["kubeconform"],
        )
        _write_stamp(stamp, key)


def ensure_tools() -> Path:
    """Make sure that every tool exists, build only what is missing; the folder to put on PATH."""
    with exclusive("tools"):
        ensure_hyper()
        ensure_kubeconform()
    return bin_folder()


def kind_base_files() -> Path:
    """Kind's own files for a node image, from its module in the Go module cache (fetched when absent)."""
    go = require_go()

    def in_module(*arguments: str) -> str:
        environment = {**go.environment, "GOFLAGS": "-mod=readonly"}
        return capture([go.program, "-C", str(HYPER_SOURCE), *arguments], env=environment, timeout_seconds=300)

    if not (folder := in_module("list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kind")):
        in_module("mod", "download", "sigs.k8s.io/kind")
        folder = in_module("list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kind")
    return Path(folder) / "images" / "base" / "files"
