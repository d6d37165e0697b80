-- The parts of a batch that is one statement: see postgres/gathering. Most of its parts are the statements that a
-- transaction of several runs as well; here is what must be worded apart, because the parts of one statement share one
-- snapshot and see nothing of each other. A part of which another one wants to know returns rows.

-- name: gathered_locks
-- The first part, for which all others wait: locks the runs of the batch in the order of (tenant, id), like `guard`, and
-- looks at the newest version of each, so an attempt whose epoch was raised writes nothing (I6). `epoch` null: no fence.
select n.epoch
from (values :rows) as n(tenant, id, epoch) join run as r on r.tenant = n.tenant and r.id = n.id
where n.epoch is null or (r.epoch = n.epoch and r.status = 'running')
order by r.tenant, r.id for no key update of r;

-- name: gathered_turns
-- The run ends in this statement: its end comes from there, and the number of the turn from behind the session's lock.
with n(tenant, agent, session, run, output, status, finished_at, trail, is_whole) as (values :rows)
insert into turn(
  tenant, agent, session, number, run, input, output, status, finished_at, trail, is_whole, subject)
select n.tenant, n.agent, n.session, coalesce((
    select s.turns from session as s where s.tenant = n.tenant and s.agent = n.agent and s.key = n.session), 0) + 1,
  n.run, r.input, n.output, n.status, n.finished_at, n.trail, n.is_whole, r.subject
from n join run as r on r.tenant = n.tenant and r.id = n.run
returning tenant, agent, session, input;

-- name: gathered_uses
-- A long input of the run is now used by the history of its session as well.
insert into payload_use(tenant, owner, digest)
select tenant, agent || chr(10) || session, substr(input, 2)
from gathered_turns
where substr(input, 1, 1) = '\x00'
on conflict (tenant, owner, digest) do nothing
returning 1;

-- name: gathered_releases
-- What a state that is replaced had aside; usually nothing, else the batch is done in detail.
select 1
from (values :rows) as n(tenant, owner) join payload_use as u on u.tenant = n.tenant and u.owner = n.owner;

-- name: gathered_advance
-- As `advance_session`, but for the run that ends in this statement and still seems to occupy its session.
with n(tenant, key, agent, at, ended) as (values :rows),
c as materialized (select n.ended, n.at, (/* next_turn */) as pos from n)
update run
set ready = 1, ready_at = c.at, due_at = null
from c
where run.pos = c.pos and not exists (select 1 from run as o where o.id <> c.ended and /* occupies */);

-- name: gathered_heads
-- Waits for all other parts, so that the log of a tenant is held for no longer than the commit takes. The row numbers
-- what becomes durable in the order of the commits, without a hole: a statement that fails has not raised it (I12).
insert into audit_head(tenant, last)
select n.tenant, n.count
from (values :rows) as n(tenant, count)
order by n.tenant
on conflict (tenant) do update set last = audit_head.last + excluded.last
returning tenant, last;

-- name: gathered_audit
with n(tenant, count, lines) as (values :rows)
insert into audit(tenant, seq, count, lines)
select n.tenant, h.last - n.count + 1, n.count, n.lines
from n join gathered_heads as h on h.tenant = n.tenant;
