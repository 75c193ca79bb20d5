"""For authors of backends, cells and baselines: what each promises, property by property, and tests that hold it to it.

In a plugin's tests, one line: ``test_conformance = conformance_tests("my-backend")``. Read `properties.py` first;
`suite.py` asks for each in a worker process, where `work.py` judges it on the cases of `cases.py`. A baseline's
promises are in `baselines.py`.
"""

from rnnbench.testing.baselines import check_baseline
from rnnbench.testing.results import PropertyResult
from rnnbench.testing.suite import check_backend, conformance_tests, imported_by_listing
from rnnbench.verify.gradient import gradient_error

__all__ = [
    "PropertyResult",
    "check_backend",
    "check_baseline",
    "conformance_tests",
    "gradient_error",
    "imported_by_listing",
]
