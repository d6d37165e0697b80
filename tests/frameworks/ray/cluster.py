"""A Ray cluster on this machine, a node of which is killed with a step in it: runs in the environment `ray`.

A head without processors and two nodes. Prints one line of JSON: on which nodes the step began, and where it ended.
"""

import asyncio
import json
import sys
from pathlib import Path

from ray.cluster_utils import Cluster

from pilothouse.sdk.pools.pool import Pools
from pilothouse.sdk.scope import Scope, step_here
from pilothouse.wire.host import PoolConfig

LOOK_EVERY = 0.05


class Key:
    def idempotency_key_of(self, key: str) -> str:
        return f"run:{key}"


async def main(folder: Path, project: str) -> None:
    sys.path.insert(0, project)
    import tasks

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = {node.node_id: node for node in (cluster.add_node(num_cpus=2), cluster.add_node(num_cpus=2))}
    config = PoolConfig(
        kind="ray", processes=4, cpus=4.0, gpus=0.0, memory=0, queue=5, wait=30.0, address=cluster.address
    )
    pools = Pools({"heavy": config}, project)
    step_here.set(Scope(Key(), "step-1", "step"))
    pool, mark, gate = pools.find("heavy", 2, 0), folder / "mark", folder / "gate"

    def begun() -> list[str]:
        return mark.read_text().split() if mark.exists() else []

    step = asyncio.create_task(pool.run(tasks.hold, (str(mark), str(gate)), {}, 2, 0))
    while not begun():
        await asyncio.sleep(LOOK_EVERY)
    cluster.remove_node(nodes[begun()[0]], allow_graceful=False)
    while len(begun()) < 2:
        await asyncio.sleep(LOOK_EVERY)
    gate.touch()
    ended = await step
    try:
        await pool.run(tasks.fail, ("on purpose",), {}, 1, 0)
        failed = ""
    except LookupError as error:
        failed = str(error)
    pools.close()
    cluster.shutdown()
    sys.stdout.write(json.dumps({"nodes": list(nodes), "begun": begun(), "ended": ended, "failed": failed}) + "\n")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
