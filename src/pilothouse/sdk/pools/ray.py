"""A pool on a Ray cluster: the extra `ray`, and the only file that knows it.

Ray has its own scheduler, autoscaler and operator for Kubernetes; here it is asked to run one function at a time with
so many processors and GPUs, never to try again by itself: whether a step begins again is the pool's to say. The
project's folder goes along as the working folder of the tasks; Pilothouse must be installed where they run.
"""

import asyncio
import threading
from typing import Any

from pilothouse.sdk.pools.pool import Lost, Pool
from pilothouse.sdk.pools.work import Outcome, do_work
from pilothouse.wire.host import PoolConfig

EXCLUDED = [".venv", ".pilothouse", ".git", "*.db*", "*.pem"]
"""What of the project does not go along."""

_connecting = threading.Lock()
"""A process is a driver of one cluster only."""


def make(name: str, config: PoolConfig, project: str) -> "RayPool":
    return RayPool(name, config, project)


class RayPool(Pool):
    async def reach(self) -> str | None:
        return await asyncio.to_thread(self._connect)

    def _connect(self) -> str | None:
        try:
            import ray
        except ImportError:
            return 'ray is not installed: pip install "pilothouse[ray]"'
        with _connecting:
            if ray.is_initialized():
                return None
            try:
                ray.init(
                    address=self.config.address, namespace="pilothouse", log_to_driver=False, logging_level="error",
                    runtime_env={"working_dir": self.project, "excludes": EXCLUDED} if self.project else None,
                )  # fmt: skip
            except Exception as error:  # of several kinds, from several layers
                return f"the Ray cluster at {self.config.address} cannot be reached: {error}"
        return None

    async def send(self, packed: bytes, cpus: float, gpus: float) -> Outcome:
        import ray

        task: Any = ray.remote(do_work)
        task = task.options(num_cpus=cpus, num_gpus=gpus, max_retries=0, memory=self.config.memory or None)
        ref = task.remote(packed)
        try:
            outcome: Outcome = await ref
        except asyncio.CancelledError:
            ray.cancel(ref, force=True)
            raise
        except (ray.exceptions.RayError, ConnectionError) as error:
            raise Lost(f"{type(error).__name__}: {str(error).splitlines()[0]}") from error
        return outcome

    def close(self) -> None:
        """The cluster is somebody else's; this process only leaves it."""
        import sys

        ray = sys.modules.get("ray")
        if ray is not None and ray.is_initialized():
            ray.shutdown()
