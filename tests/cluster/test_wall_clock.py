"""The wall clock of one of several workers jumps, by an hour and by two days, forward and back: all nodes mean the time
of the database, so it loses no lease, takes nothing from the others, and fires no timer early or late (I1, I6, I9).
"""

import asyncio
import time
from datetime import datetime, timedelta
from functools import partial

import pytest

from tests.cluster.test_takeover import hold_in, read_all, started
from tests.faults.checkers import check_one_end, check_run, check_timers
from tests.faults.client import wait_until
from tests.faults.test_clock import WallClock, note_effects, shows

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

OFTEN = {"renew": 0.3}
"""Leases of ten seconds, looked after often: what a node believes of the time shows at once."""
JUMPS = ("+3600", "+172800", "-3600")
NAP = 4.0
SLACK = timedelta(minutes=5)
"""Clocks of nodes differ by as long as they took to ask the database for its time; the jumps are longer."""


async def test_jumps_on_one_worker_disturb_neither_its_runs_nor_those_of_others(
    cluster, receiver, postgres_server, database, tmp_path
):
    clock = WallClock(tmp_path)
    jumping = cluster("worker", environment=clock.environment, altered=OFTEN)
    steady, gateway = cluster("worker", altered=OFTEN), cluster("gateway")
    started_at = now(postgres_server)
    await started(jumping, steady, gateway)
    held = {}
    for run, node in (("run_jumping", jumping), ("run_steady", steady)):
        held[run] = await hold_in(node, receiver, node, run, 1)  # a worker that is asked itself takes it at once
        assert held[run].host in {host.pid for host in node.hosts()}
    began = time.monotonic()
    await gateway.caller.start_known("rest", "run_nap", NAP)
    await gateway.caller.start_known("chain", "run_delayed", {"steps": 1}, delay_seconds=NAP)
    await gateway.caller.start_known("rest", "run_day", 86_400.0)
    await gateway.caller.start_known("wait", "run_patient", "never", deadline_seconds=3600)
    await gateway.caller.start_known("ask", "run_asking", "Shall we?")
    for run in ("run_day", "run_patient", "run_asking"):
        await gateway.caller.wait_run(run, lambda it: it["status"] == "waiting")
    woken = {}
    watch = asyncio.create_task(note_effects(receiver, ["run_nap", "run_delayed"], woken))
    through = []
    for jump in JUMPS:
        clock.jump(jump)
        await wait_until(partial(shows, jumping.caller, int(jump)))
        for _ in range(2):  # the second has begun under that clock
            until = leases(postgres_server, database)
            await wait_until(partial(are_renewed, postgres_server, database, until))
        for run, until in leases(postgres_server, database).items():
            assert until <= now(postgres_server) + timedelta(seconds=10) + SLACK, (run, jump)
        through += await use(jumping, f"run_through_{len(through)}")
    await watch
    assert min(woken.values()) - began > NAP / 2  # a clock that had jumped would have woken them at once
    for gate in held.values():
        gate.open()
    runs = ["run_jumping", "run_steady", "run_nap", "run_delayed", *through]
    readings = await read_all(gateway.caller, runs)
    assert check_one_end(runs, readings) == []
    for run, reading in readings.items():
        assert check_run(reading, receiver.of(run)) == []
        assert reading.run["status"] == "succeeded"
        if run != "run_nap":
            assert reading.run["attempt"] == 1, run  # nobody took it over
    assert check_timers(readings["run_nap"], NAP, within=90.0) == []
    for run in ("run_day", "run_patient", "run_asking"):
        assert (await gateway.caller.run(run))["status"] == "waiting"
    told = [event.body["at"] for reading in readings.values() for event in reading.events]
    told += [entry["at"] for entry in await entries(gateway)]
    told = [datetime.fromisoformat(at) for at in told]
    assert started_at - SLACK <= min(told)
    assert max(told) <= now(postgres_server) + SLACK


async def use(node, run):
    """A run and a hold that the node takes in while its wall clock is off; the runs."""
    answer = await node.caller.start_at_last("chain", {"steps": 1}, run_id=run)
    assert answer.status == 202, answer
    await node.caller.wait_end(run)
    placed = await node.caller.ask("POST", "/v1/holds", {"run": "run_day", "reason": run})
    assert placed.status == 201, placed
    lifted = await node.caller.ask("DELETE", f"/v1/holds/{placed.body['id']}")
    assert lifted.status < 300, lifted
    return [run]


async def entries(node):
    answer = await node.caller.ask("GET", "/v1/audit?after=0&limit=200")
    assert answer.status == 200, answer
    assert answer.body["items"], answer
    return answer.body["items"]


def now(server):
    return instant(server.query("postgres", "select extract(epoch from clock_timestamp()) * 1e6"))


def instant(said):
    return datetime.fromtimestamp(float(said) / 1e6).astimezone()


def leases(server, database):
    """Until when the two runs that stand in a step are held."""
    query = "select id || ' ' || lease_until from run where id in ('run_jumping', 'run_steady') order by id"
    return {line.split()[0]: instant(line.split()[1]) for line in server.query(database, query).splitlines()}


async def are_renewed(server, database, before):
    found = await asyncio.to_thread(leases, server, database)
    return all(found[run] > until for run, until in before.items())
