"""The one call that scripts start from."""

from rnnbench.backends.base import Session, load_factory
from rnnbench.errors import UsageError
from rnnbench.model import Model, Params
from rnnbench.plugins import registry
from rnnbench.training import DEFAULT_ADAM, Adam


def session(
    backend: str, model: Model, params: Params, threads: int = 1, loss: str = "mse", optimiser: Adam = DEFAULT_ADAM
) -> Session:
    """A session of `backend` in this process.

    Raises UnknownName for a backend nobody registered, UsageError where it is not installed or `params` do not fit.
    Some frameworks fix their number of threads at import: set it in the environment too, or use `rnnbench compare`,
    which gives each backend a process of its own.
    """
    info = registry().backend(backend)
    if absent := info.missing():
        raise UsageError(f"backend {backend!r} needs {absent.module}, which is not installed; {absent.remedy}")
    session: Session = load_factory(info.factory)(threads).session(model, params, loss, optimiser)
    return session
