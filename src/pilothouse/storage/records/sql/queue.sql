-- Work that waits: claims, leases, timers. All of it runs in the writer's transaction, on indexes of live rows.

-- name: claim_runs
-- The positions were read (and, where several write, locked) in this transaction. A run that has started keeps its release (I17).
-- The names of `n` are those of no column: what is returned is the run.
with n(place, claimer, instant, until, serving) as (values :rows)
update run
set status = 'running', ready = 0, due_at = null, owner = n.claimer, lease_until = n.until, epoch = run.epoch + 1,
  release = case when run.started_at is null then n.serving else run.release end,
  started_at = coalesce(run.started_at, n.instant)
from n
where run.pos = n.place and run.status = 'queued' and run.ready = 1
returning run.pos, /* run */;

-- name: due_runs
select pos, tenant, agent, session, status from run
where due_at is not null and status in ('queued', 'waiting') and due_at <= :at
order by due_at limit :limit;

-- name: next_due
select min(at) from (
  select min(due_at) as at from run where due_at is not null and status in ('queued', 'waiting')
  union all
  select min(deadline_at) from run where deadline_at is not null and status in ('queued', 'running', 'waiting')
  union all
  select min(expires_at) from review where status = 'open' and expires_at is not null
) as all_dues;

-- name: list_holding
-- By the index of runs that are on hold, which is empty where nothing is.
select distinct held from run where held is not null and status = 'queued';

-- name: list_expired
select /* run */ from run where status = 'running' and lease_until < :at order by lease_until limit :limit;

-- name: list_owned
select /* run */ from run
where status = 'running' and lease_until is not null and owner is distinct from :owner order by lease_until limit :limit;

-- name: list_cancelled
select /* run */ from run
where status = 'running' and lease_until is not null and owner = :owner and cancel_at is not null
order by lease_until limit :limit;

-- name: list_overdue
select /* run */ from run where pos in (
  select pos from (
    select pos from run
    where deadline_at is not null and status in ('queued', 'running', 'waiting') and deadline_at <= :at
    order by deadline_at limit :limit) as late
  union
  select pos from (
    select pos from run where cancel_at is not null and status in ('queued', 'waiting') order by cancel_at limit :limit) as unwanted
)
order by pos limit :limit;

-- name: count_begun
-- Runs that are ready and have a journal, which belongs to a release.
select agent, release, count(*) from run
where status = 'queued' and ready = 1 and started_at is not null
  and exists (select 1 from step as s where s.tenant = run.tenant and s.run = run.id)
group by agent, release order by agent, release limit 100;

-- name: count_live
-- Reads the index of live rows only.
select status, ready, count(*) from run
where status in ('queued', 'running', 'waiting')
  and (:tenant is null or tenant = :tenant) and (:agent is null or agent = :agent)
group by status, ready;

-- name: is_left
select 1 from run
where agent = :agent and status = 'queued' and ready = 1 and cancel_at is null and coalesce(ready_at, 0) <= :before
limit 1;

-- name: list_backlogs
-- Reads the index of live rows once, and for each tenant and agent one entry of the index of ready ones.
select b.tenant, b.agent, b.status, b.ready, b.runs,
  case when b.ready = 1 then (
    select min(r.ready_at) from run as r
    where r.agent = b.agent and r.tenant = b.tenant and r.status = 'queued' and r.ready = 1 and r.cancel_at is null) end
from (
  select tenant, agent, status, ready, count(*) as runs from run
  where status in ('queued', 'running', 'waiting')
  group by tenant, agent, status, ready) as b;
