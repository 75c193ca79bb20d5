"""The parent's handle on one worker process: requests and replies as lines of JSON, and everything that can go wrong.

Whatever a worker does, `ask` ends: with its reply, or with a `Failure` that has a status of the record's closed set.
"""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Concatenate

import psutil

from rnnbench.units import GIB, MIB
from rnnbench.workers.failure import Failure, printable, told
from rnnbench.workers.messages import Actor, P, Reply, decode_reply, encode
from rnnbench.workers.reaper import MARKER, end_all, marked

POLL_SECONDS = 0.25
LONGEST_POLL_SECONDS = 2.0  # what it takes under the worst load; longer, and we were stopped, by Ctrl-Z for one
SHARE_OF_MEMORY = 0.8  # a worker above it would soon take the machine down with it
LAST_WORDS = 160  # characters of a dead worker's log that its reason quotes
LOG_END = 4096  # bytes of it that are read for them
PARTING_SECONDS = 1.0  # for what an ended process leaves in its pipe, or for the pipe's end


def memory_limit() -> int:
    """Return the bytes a worker and its children may hold: a share of the machine's memory, or of the container's."""
    total = sys.maxsize  # without /proc nobody tells
    with suppress(OSError):
        total = psutil.virtual_memory().total
    with suppress(OSError, ValueError):  # "max" where there is no limit
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return int(total * SHARE_OF_MEMORY)


@contextmanager
def bounded_memory(allowed: int | None = None) -> Iterator[None]:
    """Have this process and what it starts meanwhile ask for so many bytes more at most, where the system can: beyond,
    a MemoryError. None: as many as a worker may hold."""
    try:
        import resource
    except ImportError:  # Windows
        yield
        return
    before, held = resource.getrlimit(resource.RLIMIT_DATA), 0
    with suppress(psutil.Error, OSError):
        held = getattr(psutil.Process().memory_info(), "data", 0)
    limits = [held + (memory_limit() if allowed is None else allowed), *(n for n in before if n >= 0), sys.maxsize]
    resource.setrlimit(resource.RLIMIT_DATA, (min(limits), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


@dataclass(frozen=True)
class WorkerLimits:
    """What a worker may take. Calls are sized to last well under a second each, so that `call_seconds` is generous."""

    load_seconds: float = 180.0
    call_seconds: float = 120.0
    reply_bytes: int = 4 * MIB
    memory_bytes: int = field(default_factory=memory_limit)


class Worker:
    """A child process with a session of its own, so that a Ctrl-C at the terminal reaches the parent alone."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], marker: str, log: Path, limits: WorkerLimits
    ) -> None:
        self.limits, self.marker, self._log = limits, marker, log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                command,
                env={**environment, MARKER: marker},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        self._replies: SimpleQueue[bytes | None] = SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        try:
            self._reader.start()
        except RuntimeError:  # no more threads: as where no process can be had
            self._process.kill()
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from None
        self.closed = False

    @property
    def alive(self) -> bool:
        """Tell whether the process runs."""
        return not self.closed and self._process.poll() is None

    def ask(self, action: Callable[Concatenate[Actor, P], Reply], *given: P.args, **named: P.kwargs) -> Reply:
        """Return an action's result. Raises Failure: the worker is dead then, unless it told of an error itself."""
        self.send(action, *given, **named)
        return self.receive(action)

    def ask_alone(self, action: Callable[Concatenate[Actor, P], Reply], *given: P.args, **named: P.kwargs) -> Reply:
        """Ask a paused worker, and pause it again. Raises Failure, as `ask` does."""
        self.resume()
        try:
            return self.ask(action, *given, **named)
        finally:
            self.pause()

    def send(self, action: Callable[Concatenate[Actor, P], object], *given: P.args, **named: P.kwargs) -> None:
        """Call an action, whose result `receive` waits for. Raises Failure where the process has been ended."""
        assert self._process.stdin is not None
        if self.closed:
            raise Failure("crashed", "its process had ended before this case")
        if not self._replies.empty() and self.alive:
            raise self._end(Failure("bad_output", "answered what it was not asked; does it write to our pipe?"))
        with suppress(BrokenPipeError):  # `receive` finds out how it died
            self._process.stdin.write(encode(action, *given, **named))
            self._process.stdin.flush()

    def receive(self, action: Callable[..., Reply], seconds: float | None = None) -> Reply:
        """Wait for the result of an action that was called, so many seconds at most. Raises Failure, as `ask` does."""
        limit = self.limits.call_seconds if seconds is None else seconds
        left, now = limit, time.monotonic()
        while True:
            try:
                line = self._replies.get(timeout=min(POLL_SECONDS, max(0.0, left)))
            except Empty:
                before, now = now, time.monotonic()
                left -= min(now - before, LONGEST_POLL_SECONDS)
                if self._process.poll() is None:
                    self._check(left, limit)
                    continue
                line = self._parting_reply()
            return self._decode(action, line)

    def pause(self) -> None:
        """Stop the worker and its threads, where the system can: an idle framework may spin."""
        self._signal("SIGSTOP")

    def resume(self) -> None:
        """Let a paused worker go on."""
        self._signal("SIGCONT")

    def kill(self) -> None:
        """End the worker, whatever it is doing, and every process it started."""
        if self.closed:
            return
        for child in self._tree():
            with suppress(psutil.Error):
                child.kill()
        self._signal("SIGKILL")
        self._process.kill()
        self._process.wait()
        end_all(self.marker)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(OSError):  # closing flushes what could not be sent
            self._process.stdin.close()
        self._reader.join(PARTING_SECONDS)
        if self._reader.is_alive():  # somebody who cannot be told by the marker holds the other end
            self._end_holders(self._process.stdout.fileno())
            self._reader.join(PARTING_SECONDS)
        if not self._reader.is_alive():
            self._process.stdout.close()
        self.closed = True

    def _end_holders(self, pipe: int) -> None:
        """Kill every other process that holds a pipe of ours, where the system tells."""
        with suppress(OSError):
            end = os.readlink(f"/proc/self/fd/{pipe}")
            for process in psutil.process_iter():
                with suppress(psutil.Error, OSError):
                    folder = f"/proc/{process.pid}/fd"
                    held = [os.readlink(f"{folder}/{number}") for number in os.listdir(folder)]
                    if process.pid != os.getpid() and end in held:
                        process.kill()

    def _signal(self, name: str) -> None:
        """Send a signal to the process's group, where the system has such."""
        number = getattr(signal, name, None)
        if number is not None and hasattr(os, "killpg"):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def _read(self) -> None:
        """Queue its lines, in a thread of its own, since a pipe cannot be polled on every system. None is the end."""
        assert self._process.stdout is not None
        descriptor, pending = self._process.stdout.fileno(), bytearray()
        while chunk := os.read(descriptor, 1 << 16):
            pending += chunk
            while (end := pending.find(b"\n")) >= 0:
                self._replies.put(bytes(pending[:end]))
                del pending[: end + 1]
            if len(pending) > self.limits.reply_bytes:
                self._replies.put(bytes(pending))
                return
        self._replies.put(None)

    def _parting_reply(self) -> bytes | None:
        """Return what an ended process had still sent. A child of its may hold the pipe open: do not wait long."""
        with suppress(Empty):
            return self._replies.get(timeout=PARTING_SECONDS)
        return None

    def _check(self, left: float, limit: float) -> None:
        """End the worker and raise Failure where it holds too much or takes too long."""
        if (held := self._resident_bytes()) > self.limits.memory_bytes:
            raise self._end(
                Failure("oom", f"held {held / GIB:.1f} GiB; {self.limits.memory_bytes / GIB:.1f} are allowed")
            )
        if left <= 0:
            raise self._end(Failure("timeout", f"gave no answer within {limit:g} s"))

    def _decode(self, action: Callable[..., Reply], line: bytes | None) -> Reply:
        """Return the reply that a line holds. Raises Failure, and ends the worker unless it has told that itself."""
        if line is None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=PARTING_SECONDS)  # the pipe closes a moment before the process is gone
            raise self._end(Failure("crashed", self._obituary()))
        if len(line) > self.limits.reply_bytes:
            raise self._end(Failure("bad_output", f"answered with more than {self.limits.reply_bytes} bytes"))
        try:
            answer = json.loads(line)
            if "failed" in answer:
                raise told(*answer["failed"])
            done = answer["done"]
        except (ValueError, KeyError, TypeError, RecursionError):
            why = "answered with something that is not a reply; does it write to our pipe?"
            raise self._end(Failure("bad_output", why)) from None
        try:
            return decode_reply(action, done)
        except (ValueError, OverflowError) as error:
            why = f"answered {action.__name__} with what does not fit: {printable(str(error))}"
            raise self._end(Failure("bad_output", why)) from None

    def _end(self, failure: Failure) -> Failure:
        """End the process; return the failure."""
        self.kill()
        return failure

    def _obituary(self) -> str:
        """Return how the process ended, with the last line of its log."""
        code = self._process.poll()
        if code is None:
            how = "its process closed its pipe"
        elif code < 0:
            how = f"its process was ended by {signal.Signals(-code).name}"
        else:
            how = f"its process exited with code {code} without an answer"
        last = next((word.strip() for word in reversed(self._log_end().split("\n")) if word.strip()), "")
        return f"{how}; its last words: {printable(last)[:LAST_WORDS]}" if last else how

    def _log_end(self) -> str:
        with suppress(OSError), self._log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_END))
            return log.read(LOG_END).decode(errors="replace")
        return ""

    def _tree(self) -> list[psutil.Process]:
        """Return the process and all below it."""
        try:
            own = psutil.Process(self._process.pid)
            return [own, *own.children(recursive=True)]
        except psutil.Error:
            return []

    def _resident_bytes(self) -> int:
        """Return what all of them hold together."""
        total = 0
        for process in self._tree():
            with suppress(psutil.Error):
                total += process.memory_info().rss
        return total

    def started_seconds(self) -> float:
        """Return the processor seconds, so far, of those of its processes that live and are not the worker itself."""
        total = 0.0
        for _, process in marked(self.marker):
            if process.pid != self._process.pid:
                with suppress(psutil.Error):
                    times = process.cpu_times()
                    total += times.user + times.system
        return total
