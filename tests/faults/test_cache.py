"""The kernel cache and who may have written to it."""

import grp
import os
import pwd
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from rnnbench.kernels import cache, kernel_folder
from rnnbench.kernels.cache import KernelCache
from rnnbench.kernels.kernel_folder import safe_directory

OWNERS = pytest.mark.skipif(not hasattr(os, "getuid"), reason="owners and modes are POSIX's")
KEY = "a" * 64


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "of mine" / "kernels"
    monkeypatch.setenv("RNNBENCH_CACHE_DIR", str(place))
    assert safe_directory() == (place, None)
    return place


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a cache whose folders above others can reach, as pytest's own they cannot."""
    with tempfile.TemporaryDirectory() as above:
        Path(above).chmod(0o755)
        place = Path(above) / "of mine" / "kernels"
        monkeypatch.setenv("RNNBENCH_CACHE_DIR", str(place))
        assert safe_directory() == (place, None)
        place.parent.chmod(0o755)
        yield place


def put(folder: Path, digit: str, size: int = 10, used: float = 0) -> Path:
    path = folder / f"{digit * 64}.kernel"
    assert kernel_folder.write(path, b"x" * size)
    os.utime(path, (used, 0))
    return path


# ---- whose folder it is ----------------------------------------------------------------------------------------------


@OWNERS
def test_a_cache_of_somebody_else_is_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: own + 1)
    place, notice = safe_directory()
    assert place is None
    assert notice is not None
    assert notice.endswith("belongs to another user; set RNNBENCH_CACHE_DIR")


@OWNERS
@pytest.mark.parametrize("mode", [0o707, 0o777])
def test_a_folder_above_that_others_may_write_is_not_used(public: Path, mode: int) -> None:
    """They could put another folder in the cache's place."""
    public.parent.chmod(mode)
    place, notice = safe_directory()
    assert place is None
    assert notice == (
        f"kernels are not cached: others may write to {public.parent}; set RNNBENCH_CACHE_DIR, or run: "
        f"chmod go-w {public.parent}"
    )


@OWNERS
@pytest.mark.parametrize(
    ("group", "members", "used"), [("me", [], True), ("me", ["me"], True), ("me", ["you"], False), ("staff", [], False)]
)
def test_a_folder_that_the_user_s_own_group_may_write_is_the_user_s(
    public: Path, monkeypatch: pytest.MonkeyPatch, group: str, members: list[str], used: bool
) -> None:
    """As every folder is under the umask 002, where each user has a group."""
    public.parent.chmod(0o775)
    status = public.parent.stat()
    monkeypatch.setattr(pwd, "getpwuid", lambda _: SimpleNamespace(pw_name="me", pw_gid=status.st_gid))
    monkeypatch.setattr(grp, "getgrgid", lambda gid: SimpleNamespace(gr_gid=gid, gr_name=group, gr_mem=members))
    assert (safe_directory()[0] == public) is used


def test_folders_above_that_harm_nobody_are_used(public: Path) -> None:
    """One where each may remove only his own, as /tmp; one that others may write and that they cannot reach."""
    public.parent.chmod(0o1777)
    assert safe_directory() == (public, None)
    public.parent.chmod(0o777)
    public.parent.parent.chmod(0o700)
    assert safe_directory() == (public, None)


@OWNERS
def test_a_link_of_somebody_else_leads_nowhere(public: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it points to may be ours: its owner may point it elsewhere."""
    link = public.parent.parent / "link"
    link.symlink_to(public.parent)
    monkeypatch.setenv("RNNBENCH_CACHE_DIR", str(link / "kernels"))
    assert safe_directory() == (link / "kernels", None)
    lstat, another = Path.lstat, os.getuid() + 1

    def anothers(path: Path) -> os.stat_result:
        found = lstat(path)
        return os.stat_result((*found[:4], another, *found[5:])) if path == link else found

    monkeypatch.setattr(Path, "lstat", anothers)
    assert safe_directory()[1] == f"kernels are not cached: {link} belongs to another user; set RNNBENCH_CACHE_DIR"


@OWNERS
def test_folders_are_made_for_their_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.umask(0)
    try:
        monkeypatch.setenv("RNNBENCH_CACHE_DIR", str(tmp_path / "a" / "b" / "kernels"))
        assert safe_directory()[0] == tmp_path / "a" / "b" / "kernels"
    finally:
        os.umask(before)
    made = (tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "kernels")
    assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {0o700}


# ---- which files are read --------------------------------------------------------------------------------------------


@OWNERS
def test_only_a_regular_file_that_is_ours_alone_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(folder, "a")
    assert kernel_folder.read(path) == b"x" * 10
    for mode in (0o620, 0o602):
        path.chmod(mode)
        assert kernel_folder.read(path) is None
    path.chmod(0o600)
    own = os.getuid()
    with monkeypatch.context() as patch:
        patch.setattr(os, "getuid", lambda: own + 1)
        assert kernel_folder.read(path) is None
    with monkeypatch.context() as patch:
        patch.setattr(kernel_folder, "MOST_BYTES_EACH", 9)
        assert kernel_folder.read(path) is None
    link, pipe = folder / f"{'b' * 64}.kernel", folder / f"{'c' * 64}.kernel"
    link.symlink_to(path)
    os.mkfifo(pipe)
    (folder / f"{'d' * 64}.kernel").mkdir()
    assert [kernel_folder.read(one) for one in (link, pipe, folder / f"{'d' * 64}.kernel", folder / "none")] == [
        None
    ] * 4
    assert kernel_folder.read(path) == b"x" * 10


def test_a_link_in_a_kernel_s_place_is_replaced_and_not_followed(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "precious"
    outside.write_bytes(b"precious")
    path = folder / f"{'a' * 64}.kernel"
    path.symlink_to(outside)
    assert kernel_folder.write(path, b"kernel")
    assert (path.is_symlink(), path.read_bytes(), outside.read_bytes()) == (False, b"kernel", b"precious")


# ---- how much is kept ------------------------------------------------------------------------------------------------


def test_what_was_used_last_stays_where_there_is_too_little_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_folder, "MOST_BYTES", 30)
    old, read, young = (put(folder, digit, used=time) for time, digit in enumerate("abc"))
    changed = read.stat().st_mtime
    assert kernel_folder.read(read)
    assert read.stat().st_mtime == changed  # `rnnbench cache` tells when kernels were written
    last = folder / f"{'d' * 64}.kernel"
    assert kernel_folder.write(last, b"x" * 10)
    assert [path.exists() for path in (old, read, young, last)] == [False, True, True, True]


def test_what_killed_writers_left_is_removed_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    long_ago = time.time() - 2 * kernel_folder.STALE_SECONDS
    outside = tmp_path / "precious"
    outside.write_text("")
    left, foreign = folder / f".{'0' * 16}.tmp", [folder / name for name in (".tmp", "notes.txt", f".{'0' * 15}.tmp")]
    for path in (left, *foreign):
        path.write_text("")
        os.utime(path, (long_ago, long_ago))
    link, fresh = folder / f".{'1' * 16}.tmp", folder / f".{'2' * 16}.tmp"  # a writer's that is at work
    link.symlink_to(outside)
    fresh.write_text("")
    kernel_folder.tidy(folder)
    assert not left.exists()
    assert all(path.exists() for path in (*foreign, link, fresh, outside))


def test_a_cache_that_cannot_be_written_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an image that others run: kernels found there are not compiled again, and nothing is tried beyond that."""
    path = put(folder, "a")
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: False)  # what a superuser is never told
        patch.setattr(os, "utime", refusing)
        kept = KernelCache(KEY)
        assert kept.place == folder
        assert kept.notice == f"new kernels are not cached: {folder} cannot be written; set RNNBENCH_CACHE_DIR"
        assert kernel_folder.read(kept.file) == path.read_bytes()
        kept.save_overload(None, None)
        assert not kept.saved
    assert list(folder.iterdir()) == [path]


def refusing(*_: object, **__: object) -> None:
    raise OSError(30, "Read-only file system")


# ---- what decides the key --------------------------------------------------------------------------------------------


def test_an_edited_kernel_has_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any kernel source, whichever kernel is asked for."""
    key = ("adam", np.dtype("float32"), "()")
    before = cache.digest(*key)
    monkeypatch.setattr(cache, "_SOURCES", "edited")
    assert cache.digest(*key) != before


def test_the_sources_of_a_key_are_those_that_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not those that somebody is editing meanwhile."""
    key = ("adam", np.dtype("float32"), "()")
    before = cache.digest(*key)
    monkeypatch.setattr(Path, "read_bytes", lambda path: b"edited")
    assert cache.digest(*key) == before
