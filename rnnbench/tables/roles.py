"""Which column of a table is what: as the user says, and by name where it is plain."""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from rnnbench.tables.options import TableOptions
from rnnbench.tables.reading import Table
from rnnbench.tables.times import find_clock, find_times

_SHOWN = 8  # names of columns in a message


@dataclass(frozen=True)
class Roles:
    """The columns of a table.

    targets: several in a wide table. clock: of the time of day, where that of the time holds days. found: what was
    found by itself.
    """

    targets: tuple[str, ...]
    time: str | None
    clock: str | None
    id: str | None
    past: tuple[str, ...]
    known: tuple[str, ...]
    static: tuple[str, ...]
    found: tuple[str, ...]


def roles_of(table: Table, options: TableOptions) -> Roles:
    """Return the roles. `unique_id`, `ds` and `y` have theirs unless another column is named for it.

    Raises UsageError for a name that is not there, that has two roles, or that would have to be guessed.
    """
    lists = (options.target, options.past, options.known, options.static)
    target, *others = (_taken_apart(table, names) for names in lists)
    past, known, static = (_named(table, names) for names in others)
    time = None if options.time is None else _named(table, (options.time,))[0]
    id = None if options.id is None else _named(table, (options.id,))[0]
    taken = {*past, *known, *static, *_given(time, id)}
    exact = [name for name in target if name in table.columns]
    found = []
    if id is None and "unique_id" in table.columns and "unique_id" not in (*taken, *exact):
        id = "unique_id"
        found.append("series by unique_id")
    taken.update(_given(id))
    told = time is not None
    time = time if told else find_times(table, taken | set(exact))
    clock = None if time is None else find_clock(table, time, {time, *taken, *exact})
    if clock is not None or (time is not None and not told):
        found.append(f"times in {time or 'the column without a name'}" + (f" and {clock}" if clock is not None else ""))
    taken.update(_given(time, clock))
    free = [name for name in table.columns if name not in taken]
    if target:
        targets = tuple(dict.fromkeys(name for asked in target for name in _matching(table, asked, free)))
    else:
        targets = (_only_target(table, free),)
        found.append(f"target {targets[0]}")
    past = tuple(name for name in past if name not in targets)  # a target's own past is always seen
    roles = Roles(targets, time, clock, id, past, known, static, tuple(found))
    _check(table, roles)
    return roles


def _given(*names: str | None) -> list[str]:
    return [name for name in names if name is not None]


def _taken_apart(table: Table, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return names with commas between each by itself, but for one that a column has with its commas."""
    parts = ([name] if name in table.columns else name.split(",") for name in names)
    return tuple(part.strip() for own in parts for part in own)


def _named(table: Table, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(table.columns[table.position(name)] for name in names))


def _matching(table: Table, asked: str, free: list[str]) -> list[str]:
    """Return the columns that a target names: one by its name, all that are free, or those that a pattern fits."""
    if asked not in table.columns:
        if asked == "all" and free:
            return free
        if any(mark in asked for mark in "*?["):
            if fitting := [name for name in free if fnmatchcase(name, asked)]:
                return fitting
            raise table.place().error(f"--target {asked!r} fits no column; they are {_some(table.columns)}")
    return list(_named(table, (asked,)))


def _only_target(table: Table, free: list[str]) -> str:
    if "y" in free:
        return "y"
    if len(free) == 1:
        return free[0]
    raise table.place().error(f"say which column to forecast with --target; they are {_some(free or table.columns)}")


def _some(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(map(repr, names[:_SHOWN])) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _uses(roles: Roles) -> Iterator[tuple[str, str]]:
    named = {"target": roles.targets, "time": _given(roles.time), "id": _given(roles.id)}
    named |= {"past": roles.past, "known": roles.known, "static": roles.static}
    yield from ((name, option) for option, names in named.items() for name in names)


def _check(table: Table, roles: Roles) -> None:
    uses: dict[str, str] = {}
    for name, option in _uses(roles):
        if name in uses:
            raise table.place(column=name).error(f"it is named by --{uses[name]} and --{option}; leave one out")
        uses[name] = option
    if len(roles.targets) > 1 and roles.id is not None:
        raise table.place().error(f"{len(roles.targets)} targets and an --id, {roles.id!r}; give one target, or no id")
    if len(roles.targets) > 1 and roles.static:
        raise table.place().error("--static tells series apart that an --id names; with several targets leave it out")
