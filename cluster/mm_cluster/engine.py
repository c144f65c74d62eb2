"""The container engine: the Docker that is there where it can run privileged containers, else a dockerd of our own.

An existing Docker is only ever used, never configured. Ours has its own configuration, folders, socket, bridge and
firewall rules, and lives on after this command: its process id is recorded, and `cluster/down` ends exactly that.
"""

import io
import json
import os
import platform
import shutil
import signal
import subprocess
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path

from mm_cluster.failure import Failure
from mm_cluster.places import CLUSTER, cache_subfolder, replacing, run_folder
from mm_cluster.prerequisites import find_program, require_programs
from mm_cluster.process import attempt, capture, succeeds
from mm_cluster.progress import last_line, say, step

# Addresses of our engine's bridges; clear of docker's defaults (172.16/12) and of kind's pods and services.
_ADDRESSES = "10.119.0.0/16"
_CAP_SYS_RESOURCE = 1 << 24
_START_SECONDS = 60.0
_STOP_SECONDS = 45.0
_PROBE_IMAGE = "market-maker/probe:1"


@dataclass(frozen=True)
class Engine:
    """Where docker is reached; `host` is None for the Docker that the user's own environment reaches."""

    host: str | None

    @property
    def environment(self) -> dict[str, str]:
        """Variables for every program that talks to this engine."""
        return {} if self.host is None else {"DOCKER_HOST": self.host, "DOCKER_CONTEXT": ""}

    def docker(self, *arguments: str, timeout_seconds: float = 30.0, stdin: bytes = b"") -> str:
        """Run a docker command that must succeed; its output."""
        argv = ["docker", *arguments]
        return capture(argv, env=self.environment, timeout_seconds=timeout_seconds, stdin=stdin)

    def try_docker(self, *arguments: str, timeout_seconds: float = 30.0) -> tuple[int, str]:
        """Run a docker command that may fail; exit code and output."""
        return attempt(["docker", *arguments], env=self.environment, timeout_seconds=timeout_seconds)


def resolve() -> Engine:
    """The engine to use; starts our own where there is no other that will do."""
    if (running := find_running()) is not None:
        return running
    return start_own()


def find_running() -> Engine | None:
    """The engine in use: ours where it runs, else an existing Docker that can run privileged containers."""
    if _own_pid() is not None and _answers(_own_engine()):
        return _own_engine()
    existing = Engine(None)
    if find_program("docker") is not None and _answers(existing) and _runs_privileged(existing):
        return existing
    return None


def _answers(engine: Engine) -> bool:
    return engine.try_docker("version", "--format", "{{.Server.Version}}", timeout_seconds=10)[0] == 0


# --- can an engine run privileged containers? -------------------------------------------------------------------


def _exit_zero_program() -> bytes:
    """The smallest static Linux executable: exit(0). So the probe needs neither a registry nor a compiler."""
    machine = {
        "x86_64": (62, bytes.fromhex("31ffb83c0000000f05")),  # xor edi,edi; mov eax,60; syscall
        "aarch64": (183, bytes.fromhex("000080d2a80b80d2010000d4")),  # mov x0,0; mov x8,93; svc 0
    }
    if platform.machine() not in machine:
        raise Failure(f"no container probe for {platform.machine()}: only x86_64 and aarch64 are supported")
    number, code = machine[platform.machine()]
    base, headers = 0x400000, 64 + 56

    def little(value: int, size: int) -> bytes:
        return value.to_bytes(size, "little")

    identity = b"\x7fELF\x02\x01\x01" + bytes(9)
    sizes = [64, 56, 1, 0, 0, 0]
    header = identity + little(2, 2) + little(number, 2) + little(1, 4) + little(base + headers, 8)
    header += little(64, 8) + little(0, 8) + little(0, 4) + b"".join(little(size, 2) for size in sizes)
    total = headers + len(code)
    segment = little(1, 4) + little(5, 4) + little(0, 8) + little(base, 8) * 2 + little(total, 8) * 2 + little(4096, 8)
    return header + segment + code


def _probe_root() -> bytes:
    """A file system that holds the one program `/probe`, as a tar."""
    program = _exit_zero_program()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("probe")
        entry.size, entry.mode = len(program), 0o755
        archive.addfile(entry, io.BytesIO(program))
    return buffer.getvalue()


def _runs_privileged(engine: Engine) -> bool:
    """Try it once per engine; a kind node is a privileged container."""
    identity = engine.docker("info", "--format", "{{.ID}} {{.ServerVersion}} {{.DefaultRuntime}}")
    record = cache_subfolder("engine") / "existing-docker.json"
    if record.exists() and json.loads(record.read_text()) == {"engine": identity, "privileged": True}:
        return True
    engine.docker("import", "-", _PROBE_IMAGE, stdin=_probe_root())
    run = ["run", "--rm", "--privileged", "--network", "none", _PROBE_IMAGE, "/probe"]
    code, output = engine.try_docker(*run, timeout_seconds=60)
    engine.try_docker("image", "rm", _PROBE_IMAGE)
    if code != 0:
        say(f"the Docker that is there cannot run privileged containers, so it is left alone: {output[-200:]}")
        return False
    with replacing(record) as draft:
        draft.write_text(json.dumps({"engine": identity, "privileged": True}))
    return True


# --- our own dockerd --------------------------------------------------------------------------------------------


def _socket() -> Path:
    return run_folder() / "docker.sock"


def _own_engine() -> Engine:
    return Engine(f"unix://{_socket()}")


def _pid_file() -> Path:
    return cache_subfolder("engine") / "dockerd.pid"


def _configuration_file() -> Path:
    return cache_subfolder("engine") / "daemon.json"


def _log_file() -> Path:
    return cache_subfolder("engine") / "dockerd.log"


def _own_pid() -> int | None:
    """The recorded dockerd where it is still that process; a stale record is no dockerd."""
    try:
        pid = int(_pid_file().read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if os.fsencode(_configuration_file()) in command else None


def _lacks_sys_resource() -> bool:
    """Whether this machine's capability bounding set lacks CAP_SYS_RESOURCE, which `--privileged` asks for."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapBnd:"):
            return not int(line.split()[1], 16) & _CAP_SYS_RESOURCE
    return False


def _write_configuration() -> None:
    folder = cache_subfolder("engine")
    settings: dict[str, object] = {
        "data-root": str(folder / "root"),
        "exec-root": str(run_folder() / "exec"),
        "pidfile": str(run_folder() / "docker.pid"),
        "hosts": [f"unix://{_socket()}"],
        "bridge": "none",
        # Firewall rules are two lines of ours (`_firewall`): docker's would rewrite those of an existing Docker.
        "iptables": False,
        "ip6tables": False,
        "default-address-pools": [{"base": _ADDRESSES, "size": 24}],
        "log-driver": "local",
    }
    if _lacks_sys_resource():
        wrapper = folder / "runc-without-sys-resource"
        shutil.copy(CLUSTER / "engine-runtime" / "runc-without-sys-resource", wrapper)
        wrapper.chmod(0o755)
        settings |= {"runtimes": {"nosysres": {"path": str(wrapper)}}, "default-runtime": "nosysres"}
    with replacing(_configuration_file()) as draft:
        draft.write_text(json.dumps(settings, indent=1))


def _firewall_rules() -> list[list[str]]:
    mark = ["-m", "comment", "--comment", f"market-maker-{run_folder().name}", "-j"]
    return [
        ["nat", "POSTROUTING", "-s", _ADDRESSES, "!", "-d", _ADDRESSES, *mark, "MASQUERADE"],
        ["filter", "FORWARD", "-s", _ADDRESSES, *mark, "ACCEPT"],
        ["filter", "FORWARD", "-d", _ADDRESSES, *mark, "ACCEPT"],
    ]


def _firewall(action: str) -> None:
    """`-I`: containers of ours reach the world and each other; `-D`: as it was before."""
    iptables = find_program("iptables") or "iptables"
    for table, chain, *rule in _firewall_rules():
        present = succeeds([iptables, "-w", "-t", table, "-C", chain, *rule])
        if present == (action == "-D"):
            capture([iptables, "-w", "-t", table, action, chain, *rule])


def start_own() -> Engine:
    """Start our dockerd; it survives this command. Ends a half-dead one first.

    Raises:
        Failure: not root, or it does not come up; the message holds the end of its log.
    """
    if os.geteuid() != 0:
        raise Failure(
            "No Docker is reached that can run privileged containers, and starting one needs root: start Docker "
            "(and see that `docker info` works for you), or run this with sudo."
        )
    require_programs(["dockerd", "docker", "docker-proxy", "iptables"], why="The container engine")
    if _own_pid() is not None:
        say("our container engine does not answer; it is started anew")
        stop_own()
    run_folder().mkdir(parents=True, exist_ok=True)
    _write_configuration()
    _firewall("-I")
    (run_folder() / "docker.pid").unlink(missing_ok=True)
    namespace = f"market-maker-{run_folder().name}"
    argv = [
        find_program("dockerd") or "dockerd",
        "--config-file",
        str(_configuration_file()),
        # where a system containerd runs, dockerd shares it: then under names of our own
        f"--containerd-namespace={namespace}",
        f"--containerd-plugins-namespace={namespace}-plugins",
    ]
    with step("container engine", detail=lambda: last_line(_log_file())), _log_file().open("wb") as log:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")}
        daemon = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True, cwd="/"
        )
        _pid_file().write_text(str(daemon.pid))
        _wait_until_it_answers(daemon)
    return _own_engine()


def _wait_until_it_answers(daemon: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not (_socket().exists() and _answers(_own_engine())):
        if daemon.poll() is not None or time.monotonic() > deadline:
            tail = "\n".join(_log_file().read_text(errors="replace").splitlines()[-15:])
            raise Failure(f"dockerd did not come up. End of {_log_file()}:\n{tail}")
        time.sleep(0.2)


def stop_own() -> bool:
    """End our dockerd and what it ran; False where none of ours runs."""
    pid = _own_pid()
    if pid is None:
        _pid_file().unlink(missing_ok=True)
        return False
    with step("stopping the container engine"):
        os.kill(pid, signal.SIGTERM)
        if not _gone_within(pid, _STOP_SECONDS):
            os.kill(pid, signal.SIGKILL)
            _gone_within(pid, 5)
            _end_leftovers()
    _firewall("-D")
    _unmount_data_root()
    _pid_file().unlink(missing_ok=True)
    shutil.rmtree(run_folder(), ignore_errors=True)
    return True


def _unmount_data_root() -> None:
    """Undo that dockerd mounts its data folder onto itself: it could not be deleted."""
    root = str(cache_subfolder("engine") / "root")
    for mount in reversed(Path("/proc/self/mounts").read_text().splitlines()):
        point = mount.split()[1].replace(r"\040", " ")
        if point == root or point.startswith(f"{root}/"):
            attempt(["umount", "--lazy", point])


def _gone_within(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":  # ended; its parent (this command) has not asked yet
            return True
        time.sleep(0.1)
    return False


def _end_leftovers() -> None:
    """A dockerd that had to be killed leaves containerd, shims and the containers' own processes.

    The first two carry our folder in their arguments, the last one of our containers' ids in their cgroup.
    """
    folder = os.fsencode(run_folder() / "exec")
    containers = [os.fsencode(path.name) for path in (cache_subfolder("engine") / "root/containers").glob("*")]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            cgroups = (process / "cgroup").read_bytes()
            if folder in (process / "cmdline").read_bytes() or any(name in cgroups for name in containers):
                os.kill(int(process.name), signal.SIGKILL)
        except OSError:  # ended meanwhile
            continue


def describe() -> str:
    """One sentence on which engine is in use."""
    engine = find_running()
    if engine is None:
        return "no container engine: `cluster/engine up` starts one"
    version = engine.docker("version", "--format", "{{.Server.Version}}")
    if engine.host is None:
        return f"the existing Docker {version} is used as it is"
    return f"our own dockerd {version} runs (process {_own_pid()}) at {engine.host}"
