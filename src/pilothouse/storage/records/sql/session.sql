-- Sessions: one turn at a time, a state with a version, a history that is a copy, so that it outlives the runs.

-- name: take_turn
-- One upsert: the version is compared by the statement that replaces the state. The version it would write travels in
-- `excluded.version`: 0 says that there is no state to write, otherwise it is the expected version and one.
with n(tenant, key, agent, run, version, state, at, expires_at) as (values :rows)
insert into session(tenant, agent, key, turns, state, version, created_at, updated_at, expires_at)
select n.tenant, n.agent, n.key, 1, coalesce(n.state, cast('{}' as blob)),
  case when n.state is null then 0 else n.version + 1 end, n.at, n.at, n.expires_at
from n
where exists (select 1 from run where run.tenant = n.tenant and run.id = n.run)
  and (n.state is null or n.version = 0 or exists (
    select 1 from session as s where s.tenant = n.tenant and s.agent = n.agent and s.key = n.key))
on conflict (tenant, agent, key) do update
set turns = session.turns + 1, updated_at = excluded.updated_at, expires_at = excluded.expires_at,
  state = case excluded.version when 0 then session.state else excluded.state end,
  version = case excluded.version when 0 then session.version else excluded.version end
where excluded.version = 0 or session.version = excluded.version - 1
returning tenant, key, turns;

-- name: append_turn
-- Runs after all acts of the wave, so that it copies the run as its end left it.
with n(tenant, agent, session, number, run, at, trail, is_whole) as (values :rows)
insert into turn(
  tenant, agent, session, number, run, input, output, status, finished_at, trail, is_whole, subject)
select n.tenant, n.agent, n.session, n.number, n.run, r.input, r.output, r.status, coalesce(r.finished_at, n.at),
  n.trail, n.is_whole, r.subject
from n join run as r on r.tenant = n.tenant and r.id = n.run
returning tenant, agent, session, substr(input, 1, 33), substr(output, 1, 33);

-- name: write_state
-- Version and idleness are looked at by the statement that writes.
with n(tenant, key, agent, version, state, at) as (values :rows)
update session
set state = n.state, version = session.version + 1, updated_at = n.at
from n
where session.tenant = n.tenant and session.agent = n.agent and session.key = n.key and session.version = n.version
  and not exists (
    select 1 from run
    where run.tenant = n.tenant and run.agent = n.agent and run.session = n.key
      and run.status in ('queued', 'running', 'waiting') and run.status <> 'queued')
returning session.tenant, session.key;

-- name: fork_session
-- The unique index decides between two forks; `turns` counts what `fork_turns` copies in the same transaction.
with n(tenant, key, agent, source, after, state, at, expires_at) as (values :rows)
insert into session(tenant, agent, key, turns, state, version, created_at, updated_at, expires_at)
select n.tenant, n.agent, n.key, coalesce(t.number, s.turns), n.state, 1, n.at, n.at, n.expires_at
from n join session as s on s.tenant = n.tenant and s.agent = n.agent and s.key = n.source
  left join turn as t on t.tenant = n.tenant and t.agent = n.agent and t.session = n.source and t.run = n.after
where (n.after is null or t.run is not null)
  and not exists (
    select 1 from run
    where run.tenant = n.tenant and run.agent = n.agent and run.session = n.key
      and run.status in ('queued', 'running', 'waiting'))
on conflict (tenant, agent, key) do nothing
returning tenant, key, turns;

-- name: fork_turns
insert into turn(
  tenant, agent, session, number, run, input, output, status, finished_at, trail, is_whole, subject)
select t.tenant, t.agent, :key, t.number, t.run, t.input, t.output, t.status, t.finished_at, t.trail, t.is_whole,
  t.subject
from turn as t
where t.tenant = :tenant and t.agent = :agent and t.session = :source and t.number <= :turns
order by t.number;

-- name: fork_uses
-- May name payloads of turns that were not copied: they live as long as the fork, no shorter than needed.
insert into payload_use(tenant, owner, digest)
select tenant, :owner, digest from payload_use where tenant = :tenant and owner = :source;

-- name: drop_session
-- A live turn is looked for by the statement that removes the session.
with n(tenant, key, agent) as (values :rows)
delete from session
where (tenant, agent, key) in (
  select n.tenant, n.agent, n.key from n
  where not exists (
    select 1 from run
    where run.tenant = n.tenant and run.agent = n.agent and run.session = n.key
      and run.status in ('queued', 'running', 'waiting')))
returning tenant, key;

-- name: idle_sessions
-- Those of which no turn is live.
with n(tenant, key, agent) as (values :rows)
select s.tenant, s.key from n join session as s on s.tenant = n.tenant and s.agent = n.agent and s.key = n.key
where not exists (
  select 1 from run
  where run.tenant = s.tenant and run.agent = s.agent and run.session = s.key
    and run.status in ('queued', 'running', 'waiting'));

-- name: trim_runs
select tenant, id from run where tenant = :tenant and agent = :agent and session = :key and session is not null
order by pos limit :limit;

-- name: trim_turns
delete from turn where pos in (
  select pos from turn where tenant = :tenant and agent = :agent and session = :key order by number limit :limit)
returning pos;

-- name: trim_uses
-- What no turn uses any more, since there is none.
delete from payload_use where tenant = :tenant and owner = :owner and digest in (
  select digest from payload_use where tenant = :tenant and owner = :owner limit :limit)
  and not exists (select 1 from turn where tenant = :tenant and agent = :agent and session = :key)
returning tenant, digest;

-- name: drop_turns
delete from turn where tenant = :tenant and agent = :agent and session = :key;

-- name: runs_of_session
select tenant, id from run where tenant = :tenant and agent = :agent and session = :key;

-- name: advance_session
-- A turn occupies its session while it is running or waiting, is ready, is on hold, or has begun and is between two
-- attempts. The turn that has begun goes first; else the oldest. Choosing it and seeing that no other occupies the
-- session is one statement, and the writer never puts one session twice into it.
with n(tenant, key, agent, at) as (values :rows),
c as materialized (select n.at, (/* next_turn */) as pos from n)
update run
set ready = 1, ready_at = c.at, due_at = null
from c
where run.pos = c.pos and not exists (select 1 from run as o where /* occupies */);

-- fragment: next_turn
select q.pos from run as q
where q.tenant = n.tenant and q.agent = n.agent and q.session = n.key
  and q.status in ('queued', 'running', 'waiting') and q.status = 'queued' and q.ready = 0
  and q.cancel_at is null and q.held is null and (q.due_at is null or q.due_at <= n.at)
order by q.started_at is null, q.pos limit 1

-- fragment: occupies
o.tenant = run.tenant and o.agent = run.agent and o.session = run.session and o.pos <> run.pos
  and o.status in ('queued', 'running', 'waiting')
  and (o.status <> 'queued' or o.ready = 1 or o.started_at is not null or o.held is not null)
