-- Work that waits, where several nodes take from it: whoever looks at a row to change it locks it, rows that somebody
-- else has are skipped, and locks that must be waited for are taken in the order of (tenant, id), so that two nodes
-- never wait for each other.

-- name: guard
-- The first statement of every transaction of a lane. Locks the runs that the batch touches until its end: what the
-- statements after it see of them, epochs and last event numbers included, nobody changes meanwhile (I6, I3).
with l as (
  select r.pos from run as r
  where (r.tenant, r.id) in (values :rows)
  order by r.tenant, r.id for no key update)
select count(*) from l;

-- name: mark_batch
-- Raises the mark of the lane within the transaction. After a lost connection the mark tells whether the transaction
-- was committed; and one whose mark was raised by a successor meanwhile touches no row here and is given up.
update lane set batch = :batch, at = :at where owner = :owner and batch = :before
returning batch;

-- name: open_lane
insert into lane(owner, batch, at) values (:owner, :batch, :at);

-- name: read_mark
-- Waits for a transaction of the lost connection that still holds the row.
select batch from lane where owner = :owner for update;

-- name: close_lane
delete from lane where owner = :owner;

-- name: sweep_lanes
delete from lane where at < :before;

-- name: hold
-- Until the end of the transaction nobody else changes which turn of these sessions is next, or numbers entries of
-- these logs. The keys come sorted.
select pg_advisory_xact_lock(n.key) from unnest(:keys) as n(key);

-- name: hold_births
-- Runs are being born: shared by all who insert runs, kept out by who remembers a cancel of a run that is not there.
select pg_advisory_xact_lock_shared(:births);

-- name: hold_cancels
select pg_advisory_xact_lock(:births);

-- name: best_of_tenant
select pos from run
where agent = :agent and tenant = :tenant and status = 'queued' and ready = 1 and cancel_at is null
order by priority desc, pos limit :count
for no key update skip locked;

-- name: renew_leases
-- A lease that is expired stays so: who lost it must not get it back.
with l as (
  select pos from run
  where status = 'running' and lease_until >= :at and owner = :owner
  order by tenant, id for no key update)
update run set lease_until = :until
from l
where run.pos = l.pos
returning run.pos;

-- name: ready_runs
-- Runs without a session, and turns that wait: these occupy their session already. Another node may have been faster.
with l as (
  select pos from run
  where pos in (values :rows) and due_at is not null and status in ('queued', 'waiting')
  order by tenant, id for no key update skip locked)
update run set status = 'queued', ready = 1, ready_at = run.due_at, due_at = null
from l
where run.pos = l.pos;

-- name: release_held
-- A turn was its session's turn when the hold took it, and has been since: it is ready without standing in line again.
-- Two nodes may release at once: each takes what the other has not locked, and asks again.
with l as (
  select pos from run
  where held = :hold and status = 'queued'
  order by tenant, id limit :limit for no key update skip locked)
update run set ready = 1, held = null
from l
where run.pos = l.pos
returning run.pos;

-- name: line_up_runs
-- A delayed turn whose time has come stands in line; `advance_session` of its session follows in this transaction.
with l as (
  select pos from run
  where pos in (values :rows) and due_at is not null and status = 'queued'
  order by tenant, id for no key update skip locked)
update run set due_at = null
from l
where run.pos = l.pos;

-- name: ended_runs
select tenant, id, agent, release, session, finished_at from run
where finished_at is not null and session is null and finished_at >= :after and finished_at < :before
order by finished_at limit :limit
for update skip locked;

-- name: due_deliveries
-- At most `limit`, the longest due first; of a lane only its oldest. Receivers that have no free hand are left out.
select d.pos from delivery as d
where d.status = 'pending' and d.due_at <= :at and strpos(:busy, ' ' || d.receiver || ' ') = 0
  and (d.lane is null or not exists (
    select 1 from delivery as e
    where e.tenant = d.tenant and e.lane = d.lane and e.lane is not null and e.status = 'pending' and e.pos < d.pos))
order by d.due_at, d.pos limit :limit
for no key update of d skip locked;
