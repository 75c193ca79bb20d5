"""Cache sizes as Linux tells them, and what stands in where nobody tells."""

from pathlib import Path

from rnnbench.machine.caches import Cache, caches


def describe(root: Path, core: int, *levels: tuple[int, str, str, str]) -> None:
    for index, values in enumerate(levels):
        folder = root / f"cpu{core}" / "cache" / f"index{index}"
        folder.mkdir(parents=True)
        for name, value in zip(("level", "type", "size", "shared_cpu_list"), values, strict=True):
            (folder / name).write_text(f"{value}\n")


def test_private_and_shared_caches_are_told_apart(tmp_path: Path) -> None:
    for core in (0, 1):
        own = [(1, "Data", "32K", f"{core}"), (1, "Instruction", "64K", f"{core}"), (2, "Unified", "2M", f"{core}")]
        describe(tmp_path, core, *own, (3, "Unified", "36864K", "0-1"))
    found, known = caches([0, 1], tmp_path)
    assert known
    assert found == (Cache("L1", (2**15, 2**15)), Cache("L2", (2**21, 2**21)), Cache("L3", (36 * 2**20,)))
    assert [cache.held(1) for cache in found] == [2**15, 2**21, 36 * 2**20]
    assert [cache.held(2) for cache in found] == [2**16, 2**22, 36 * 2**20]


def test_only_our_cores_count_and_the_largest_come_first(tmp_path: Path) -> None:
    for core, size in enumerate(("32K", "48K", "64K")):
        describe(tmp_path, core, (1, "Data", size, str(core)))
    (found,), _ = caches([0, 1], tmp_path)
    assert found.instances == (48 * 1024, 32 * 1024)
    assert found.held(5) == 80 * 1024


def test_what_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    describe(tmp_path, 0, (1, "Data", "32K", "0"), (2, "Unified", "lots", "0"), (3, "Unified", "0K", "0"))
    (tmp_path / "cpu0" / "cache" / "index3").mkdir()
    assert caches([0], tmp_path) == ((Cache("L1", (2**15,)),), True)


def test_sizes_are_assumed_where_nobody_tells(tmp_path: Path) -> None:
    found, known = caches([0, 1], tmp_path)
    assert not known
    assert [(cache.name, len(cache.instances)) for cache in found] == [("L1", 2), ("L2", 2), ("L3", 1)]
    sizes = [cache.held(1) for cache in found]
    assert sizes == sorted(sizes)
