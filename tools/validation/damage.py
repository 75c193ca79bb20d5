"""Damage to the structure of a sound file: values of another type, beyond all bounds, missing, doubled, exchanged."""

import json
import re
from collections import deque
from collections.abc import Callable, Iterator
from copy import deepcopy
from random import Random
from typing import Any

Json = Any  # what json.loads gives
Place = tuple[Any, Any]  # a dict or list, and the key or index in it
ENDLESS, NAN = "\0endless", "\0nan"  # written as 1e999, which JSON allows, and NaN, which it does not
DEEP = (30, 200, 900, 20_000)  # brackets; the last is more than any parser takes


def nested(depth: int) -> Json:
    value: Json = 0
    for _ in range(depth):
        value = [value]
    return value


NUMBERS = (0, 1, -1, 2, 7, 2**31, 2**53 + 1, 2**63, -(2**70), 10**400, 0.0, -0.0, 0.5, 1e-5, 1e8, 1e17)
EXTREMES = (1e-320, 1e-300, 1e-99, 1e99, 1e154, 1e300, -1e308, 1.7e308, ENDLESS, NAN)
TEXTS = (
    "",
    "x" * 10_000,
    "\x1b[31mred\x1b[0m",
    "\ud800",
    "a\nb\r",
    "../../etc/passwd",
    "<script>",
    "=1+1",
    "\0",
    "\u202e",
)
OTHERS = (None, True, False, [], {}, [[]], [None], {"": 0}, ["a", 1], "ok", "numba", "lower", "cold", "float32")


def strange(random: Random) -> Json:
    """Return a value that has no place where it is put."""
    if random.random() < 0.02:
        return nested(random.choice(DEEP[:2]))
    return deepcopy(random.choice(random.choice((NUMBERS, EXTREMES, TEXTS, OTHERS))))


def damaged(value: Json, random: Random) -> Json:
    """Return a copy with one to four damages."""
    holder = [deepcopy(value)]
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        places = list(_places(holder))
        # A file has a thousand samples for each name: half of the damage is done near the root.
        shallow = places[: max(1, len(places) // 20)] if random.random() < 0.3 else places
        random.choice(DAMAGES)(random.choice(shallow), places, random)
    return holder[0]


def _places(holder: Json) -> Iterator[Place]:
    waiting = deque([holder])
    while waiting:
        at = waiting.popleft()
        for key in at if isinstance(at, dict) else range(len(at)):
            yield at, key
            if isinstance(at[key], dict | list):
                waiting.append(at[key])


def _replace(place: Place, places: list[Place], random: Random) -> None:
    place[0][place[1]] = strange(random)


def _exchange(place: Place, places: list[Place], random: Random) -> None:
    at, key = random.choice(places)
    place[0][place[1]] = deepcopy(at[key])


def _sibling(place: Place, places: list[Place], random: Random) -> None:
    """Take the value that another one of that name has: a file that disagrees with itself."""
    alike = [(at, key) for at, key in places if key == place[1] and type(at) is type(place[0])]
    at, key = random.choice(alike)
    place[0][place[1]] = deepcopy(at[key])


def _retype(place: Place, places: list[Place], random: Random) -> None:
    value = place[0][place[1]]
    number = value if isinstance(value, int | float) and abs(value) < 1e200 else 1
    others = [str(value), [value], {"value": value}, number + 1, -number, number * 1e30, float(number), not value]
    place[0][place[1]] = random.choice(others)


def _remove(place: Place, places: list[Place], random: Random) -> None:
    if place[0] is not places[0][0]:
        del place[0][place[1]]


def _double(place: Place, places: list[Place], random: Random) -> None:
    """Say it twice: an item of a list again, a value under another name."""
    at, key = place
    if isinstance(at, list) and at is not places[0][0]:
        at.insert(key, deepcopy(at[key]))
    elif isinstance(at, dict):
        name = random.choice([f"{key} ", "horsepower", str(strange(random)), *(name for name in at)])
        at[name] = deepcopy(at[key])


def _empty(place: Place, places: list[Place], random: Random) -> None:
    value = place[0][place[1]]
    place[0][place[1]] = type(value)() if value is not None else {}


DAMAGES: tuple[Callable[[Place, list[Place], Random], None], ...] = (
    *(_replace, _replace, _replace, _exchange, _sibling),
    *(_retype, _retype, _remove, _double, _empty),
)


def written(value: Json) -> str:
    """Return JSON, with the numbers that JSON has no word for."""
    text = json.dumps(value)
    return text.replace(json.dumps(ENDLESS), "1e999").replace(json.dumps(NAN), "NaN")


def encoded(text: str, random: Random) -> bytes:
    """Return a file's bytes; one in twenty has another fault of files: another encoding, a name twice, a cut."""
    if random.random() > 0.05:
        return text.encode()
    how = random.choice(("utf-16", "utf-8-sig", "twice", "cut", "deep", "byte"))
    if how == "twice":
        names = [found.start() for found in re.finditer(r'"\w+": ', text)]
        at = random.choice(names) if names else 0
        name = re.match(r'"\w+": ', text[at:])
        return (text[:at] + (f"{name[0]}null, " if name else "") + text[at:]).encode()
    if how == "cut":
        return text[: random.randrange(len(text))].encode()
    if how == "deep":
        return text.replace("0", "[" * (deep := random.choice(DEEP)) + "]" * deep, 1).encode()
    if how == "byte":
        content = bytearray(text.encode())
        content[random.randrange(len(content))] = random.randrange(256)
        return bytes(content)
    return text.encode(how)
