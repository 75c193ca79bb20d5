"""Files that somebody else made: what is never opened, and what is refused before it costs anything."""

import ast
import pickle
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

import rnnbench
from rnnbench.errors import UsageError
from rnnbench.tables.options import TableOptions
from rnnbench.tables.reading import MOST_COLUMNS, read_table


def pickled(path):
    path.write_bytes(pickle.dumps({"W": [1.0]}))


def objects(path):
    np.savez(path, W=np.array([{}], dtype=object))


def bomb(path):
    """200 MB that compress to 200 kB; a hundred times that would do as well."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("W.npy", bytes(200_000_000))


@pytest.mark.parametrize("make", [pickled, objects, bomb])
def test_an_archive_of_arrays_is_of_no_type_that_is_opened(make, tmp_path, monkeypatch):
    path = tmp_path / "weights.npz"
    make(path)
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("it was opened"))
    with pytest.raises(UsageError, match=r"weights\.npz' is of no type that is known; known: .*\.safetensors"):
        rnnbench.load_weights(path)


def test_a_csv_of_a_million_columns_is_refused_at_once(tmp_path):
    path = tmp_path / "wide.csv"
    path.write_text(",".join(f"c{n}" for n in range(1_000_000)) + "\n" + "1," * 999_999 + "1\n")
    start = time.process_time()
    with pytest.raises(UsageError, match=f"1000000 columns, at most {MOST_COLUMNS} are taken"):
        read_table(TableOptions(path))
    assert time.process_time() - start < 5


def test_no_configuration_file_is_read():
    """All settings are options, whose errors are one line. Whoever adds a reader of TOML, YAML or INI files owes this
    clause its tests: bad syntax, an unknown key with a did-you-mean, a wrong type."""
    readers = {"tomllib", "tomli", "toml", "yaml", "configparser"}
    for path in Path(rnnbench.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert not readers & {alias.name.partition(".")[0] for alias in node.names}, path
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").partition(".")[0] not in readers, path
