"""How a text file is written: its encoding, and what separates its columns; inferred, or refused."""

import codecs
import csv
import io
import re
from statistics import mode

from rnnbench.errors import UsageError
from rnnbench.tables.place import Place

MARKS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "pipes"}
NO_MARK = "\x1f"  # separates nothing: no text that is read holds it
_NAMED = {"comma": ",", "semicolon": ";", "tab": "\t", r"\t": "\t", "pipe": "|", "space": " "}
_BOMS = {  # the longer first
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_NO_TEXT = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_NO_NAME = re.compile(r"(?=.?.?[0-9])[0-9.,:/ '%+\-TZ]*")  # but a number or a time
_MARKED = re.compile(r"[0-9 \u00a0.,'’+\-%€$£()]*")


def decode(place: Place, content: bytes, told: str | None) -> tuple[str, str | None]:
    """Return the text, and what is worth saying of its encoding.

    Without an encoding told it is that of a mark at the start, UTF-8, or else cp1252, which is said.
    """
    found = told or next((name for mark, name in _BOMS.items() if content.startswith(mark)), None)
    if found is None and b"\0" in content[:2]:
        found = "utf-16-be" if content[:1] == b"\0" else "utf-16-le"
    for name in [found] if found else ["utf-8-sig", "cp1252", "latin-1"]:
        try:
            text = content.decode(name)
        except LookupError:
            raise UsageError(f"there is no encoding {name!r}; say utf-8, utf-16, cp1252 or latin-1") from None
        except ValueError as error:  # UnicodeError; a NUL in the name
            if found:
                reason = getattr(error, "reason", None) or str(error)
                raise place.error(f"not {found} text ({reason}); name another with --encoding") from None
            continue
        _refuse_no_text(place, text)
        if name.startswith(("utf-16", "utf-32")):
            return text, name.upper()
        return text, None if found or name == "utf-8-sig" else f"read as {name}, as it is not UTF-8"
    raise AssertionError("latin-1 decodes all bytes")


def _refuse_no_text(place: Place, text: str) -> None:
    start = text[:200].lstrip().lower()
    if start.startswith(("<!doctype", "<html", "<?xml", "<table")):
        raise place.error("a web page or XML, not a table; download the file itself")
    if start.startswith(("{", "[{", "%pdf")):
        raise place.error(f"{'a PDF' if start[0] == '%' else 'JSON'}, not a table; save it as CSV")
    if strange := _NO_TEXT.search(text):
        row = 1 + len(re.findall(r"\r\n|\r|\n", text[: strange.start()]))
        message = f"holds the byte {strange.group()!r}, which no text does; save the file as CSV in UTF-8"
        raise Place(place.source, row).error(message)


def separator_of(place: Place, head: str, told: str | None) -> str:
    """Return the separator: the one told, or the one that all lines of the head agree about."""
    if told is not None:
        mark = _NAMED.get(told.lower(), told)
        if len(mark) != 1 or mark in '"\r\n' or _NO_TEXT.match(mark):
            raise UsageError(f"the separator must be one character or 'tab'; got {told!r}")
        return mark
    fields = {mark: _fields(head, mark) for mark in MARKS}
    agreed = [mark for mark, rows in fields.items() if len(rows[0]) > 1 and _agree(rows, len(rows[0]))]
    if len(agreed) > 1:
        agreed = [mark for mark in agreed if _whole(fields[mark], agreed)]
        if len(agreed) != 1:
            raise place.error("several marks could separate the columns; say which with --separator")
    if agreed:
        return agreed[0]
    for mark, rows in fields.items():
        common = mode(map(len, rows[1:] or [[""]]))
        if common > 1 and _agree(rows, common):
            raise Place(place.source, 1).error(
                f"{counted(len(rows[0]))} in the first line and {common} under it, if {MARKS[mark]} separate them; "
                f"take out what stands above the header, quote what holds {MARKS[mark]}, or name another --separator"
            )
    most = max(MARKS, key=lambda mark: len(fields[mark][0]))  # rows that do not fit are told when they are read
    if len(fields[most][0]) > 1:
        return most
    spaced = _fields(head, " ")
    if len(spaced) > 1 and len(spaced[0]) > 1 and _agree(spaced, len(spaced[0])):
        raise place.error("one column, unless spaces separate several; then say --separator space, else --separator ,")
    return NO_MARK


def counted(fields: int) -> str:
    """Return a number of fields in words."""
    return f"{fields} field{'' if fields == 1 else 's'}"


def _fields(head: str, mark: str) -> list[list[str]]:
    found = []
    try:
        for row in csv.reader(io.StringIO(head, newline=""), delimiter=mark, skipinitialspace=True):
            if row:
                found.append(row)
    except csv.Error:  # told when the file is read
        pass
    return found or [[]]


def _agree(rows: list[list[str]], width: int) -> bool:
    """Tell whether most rows under the first have this many fields, let them end in a separator or not."""
    fitting = sum(len(row) == width or (len(row) == width + 1 and not row[-1].strip()) for row in rows[1:])
    return 2 * fitting > len(rows) - 1 or len(rows) == 1


def _whole(rows: list[list[str]], marks: list[str]) -> bool:
    """Tell whether no field is cut wrongly: one that holds another mark is a number."""
    fields = (field for row in rows[1:] for field in row)
    return all(_MARKED.fullmatch(field) for field in fields if any(mark in field for mark in marks))


def refuse_no_header(place: Place, header: list[str]) -> None:
    """Refuse a first line of numbers and times alone."""
    named = [field for field in header if field]
    if named and all(_NO_NAME.fullmatch(field) for field in named):
        raise Place(place.source, 1).error("the first line holds numbers, not names of columns; add a header")
