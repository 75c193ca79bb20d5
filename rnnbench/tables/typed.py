"""Tables whose columns have types already: pandas frames, Parquet files, sheets of Excel files."""

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnbench.errors import UsageError, did_you_mean
from rnnbench.model import Array
from rnnbench.tables.place import Place

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 1 << 20  # of a sheet, as in Excel; a file may say that its next row is the billionth
MOST_CELLS = 50_000_000  # a Parquet file of some bytes can say that it holds more than any memory
_NUMERIC = {"integer", "floating", "mixed-integer-float", "boolean", "decimal", "empty"}
_TIMES = {"datetime", "datetime64", "date"}


@dataclass(frozen=True)
class TypedCells:
    """The columns of a frame, by position. rows: the number of each, counted from 1 at the header."""

    frame: "pd.DataFrame"
    rows: Array
    remarks: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(str(name).strip() for name in self.frame.columns)

    def typed(self, at: int) -> "pd.Series[Any] | None":
        """Return a column of numbers or times, or None where it holds texts."""
        import pandas as pd

        column: pd.Series[Any] = self.frame.iloc[:, at]
        if isinstance(column.dtype, pd.CategoricalDtype):
            column = column.astype(column.cat.categories.dtype)
        if isinstance(column.dtype, pd.PeriodDtype):
            return pd.Series(column.dt.to_timestamp())
        if column.dtype != object:
            return None if isinstance(column.dtype, pd.StringDtype) else column
        kind = pd.api.types.infer_dtype(column, skipna=True)
        try:
            if kind in _NUMERIC:
                return column.astype(float)
            return pd.to_datetime(column) if kind in _TIMES else None
        except (TypeError, ValueError, OverflowError):  # beyond what has a type of its own
            return None

    def texts(self, at: int, most: int | None = None) -> list[str]:
        """Return a column as it would be written, "" where missing; of its rows at most so many."""
        column = self.frame.iloc[:most, at]
        return ["" if none else str(value).strip() for value, none in zip(column, column.isna(), strict=True)]


def numeric(place: Place, rows: Array, column: "pd.Series[Any]") -> Array:
    """Return the numbers of a typed column, float64 [n], NaN where missing."""
    import pandas as pd

    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_complex_dtype(column):
        raise place.error(f"it holds {column.dtype}, not numbers; name another column")
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    if (infinite := np.flatnonzero(np.isinf(values))).size:
        row = int(rows[infinite[0]])
        raise Place(place.source, row, place.column).error("the value is not finite; fill it or take the row out")
    return values


def frame_cells(place: Place, data: object) -> TypedCells:
    """Return the columns of a frame; of its index those that have a name, and times without one as `time`."""
    import pandas as pd

    if isinstance(data, pd.Series):
        data = data.to_frame()
    if not isinstance(data, pd.DataFrame):
        raise UsageError(f"a table is a path or a pandas frame; got {type(data).__name__}")
    if data.columns.nlevels > 1:
        raise place.error("its columns have several levels; flatten them to one name each")
    index = data.index
    if index.nlevels > 1 or index.name is not None or isinstance(index, pd.DatetimeIndex | pd.PeriodIndex):
        names = ["time" if index.nlevels == 1 and name is None else name for name in index.names]
        levels = {at: name for at, name in enumerate(names) if name is not None and name not in data.columns}
        parts = [pd.Series(index.get_level_values(at), name=name) for at, name in levels.items()]
        data = pd.concat([*parts, data.reset_index(drop=True)], axis=1)
    return TypedCells(data, np.arange(2, len(data) + 2))


def parquet_cells(place: Place, content: bytes) -> TypedCells:
    """Return the columns of a Parquet file."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise place.error("Parquet is read by pyarrow; pip install 'rnnbench[parquet]'") from None
    try:
        file = pyarrow.parquet.ParquetFile(io.BytesIO(content))
        size = file.metadata.num_rows * file.metadata.num_columns
        frame = None
        if size <= MOST_CELLS:
            table = file.read()
            table.validate(full=True)  # texts that are no UTF-8 would be found by whoever looks at them
            frame = table.to_pandas()
    except Exception as error:  # whatever a damaged file makes of the reader
        raise place.error(f"not a sound Parquet file ({_brief(error)}); write it again") from None
    if frame is None:
        raise place.error(f"{size} cells, and {MOST_CELLS} are read; keep the columns and rows you need")
    return frame_cells(place, frame)


def sheet_cells(place: Place, content: bytes, sheet: str | None) -> TypedCells:
    """Return the columns of a sheet of an Excel file: the one told, or the first."""
    try:
        import openpyxl
    except ImportError:
        raise place.error("Excel files are read by openpyxl; pip install 'rnnbench[excel]'") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of formats and styles that it does not keep
            book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
            names = [each.title for each in book.worksheets]
            chosen = sheet or names[0]
            rows: list[tuple[object, ...]] = []
            if chosen in names:
                book[chosen].reset_dimensions()  # the file may say less than it holds
                rows = list(islice(book[chosen].iter_rows(values_only=True), MOST_ROWS + 1))
    except Exception as error:
        raise place.error(f"not a sound Excel file ({_brief(error)}); save it again") from None
    if chosen not in names:
        raise place.error(f"there is no sheet {sheet!r}; {did_you_mean(chosen, names) or f'the sheets are {names}'}")
    if len(rows) > MOST_ROWS:
        raise place.error(f"a sheet of more than {MOST_ROWS} rows; save it again")
    told = (f"sheet {chosen!r}, the first of {len(names)}",) if sheet is None and len(names) > 1 else ()
    return _sheet(place, rows, told)


def _sheet(place: Place, rows: Sequence[tuple[object, ...]], told: tuple[str, ...]) -> TypedCells:
    import pandas as pd

    filled = [number for number, row in enumerate(rows) if any(value is not None for value in row)]
    if not filled:
        raise place.error("the sheet is empty; it needs a header and a row per time step")
    first, last = filled[0], filled[-1]
    width = 1 + max(at for at, value in enumerate(rows[first]) if value is not None)
    header = ["" if value is None else str(value) for value in rows[first][:width]]
    for number, row in enumerate(rows[first + 1 : last + 1], first + 2):
        if any(value is not None for value in row[width:]):
            raise Place(place.source, number).error(f"a value right of the header's {width} columns; mend the row")
        if all(value is None for value in row):
            raise Place(place.source, number).error("the line is blank; fill it or take it out")
    values = [(*row[:width], *(None,) * (width - len(row))) for row in rows[first + 1 : last + 1]]
    frame = pd.DataFrame(values, columns=header, dtype=object)
    return TypedCells(frame, np.arange(first + 2, last + 2), told)


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
