"""Every cell through XLA, as an rnnbench backend: the light half, which does not import jax."""

from rnnbench import BackendInfo, Requirement, hookimpl


@hookimpl
def rnnbench_backends() -> list[BackendInfo]:
    return [
        BackendInfo(
            id="jax",
            title="JAX (XLA)",
            factory="rnnbench_jax.backend:JaxBackend",
            requires=(Requirement("jax", "pip install jax"), Requirement("jaxlib", "pip install jax")),
        )
    ]
