"""The kernel cache and who may have written to it."""

import os

import numpy as np
import pytest

from rnnbench.kernels import cache
from rnnbench.registry import registry


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="owners are POSIX's")
def test_a_cache_of_somebody_else_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setenv("RNNBENCH_CACHE_DIR", str(tmp_path / "kernels"))
    assert cache.safe_directory() == (tmp_path / "kernels", None)
    own = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: own + 1)
    place, notice = cache.safe_directory()
    assert place is None
    assert notice.endswith("belongs to another user; set RNNBENCH_CACHE_DIR")


def test_an_edited_kernel_has_another_key(monkeypatch):
    """Any kernel source, whichever kernel is asked for."""
    key = ("forward", registry().cell("lstm"), np.dtype("float32"), "()")
    before, sources = cache.digest(*key), cache._sources()
    monkeypatch.setattr(cache, "_sources", lambda: sources + b"#")
    assert cache.digest(*key) != before
