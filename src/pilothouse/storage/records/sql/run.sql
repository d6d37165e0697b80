-- Runs: being born, moving between states, ending. One writer runs all of this in one transaction at a time; the
-- conditions on status and epoch are nevertheless in the statement that writes, so that each is right by itself (I6).

-- name: insert_run
-- The look at the session's other turns and at remembered cancels is part of the insert: no turn can slip in between.
-- `held` is computed once for each row and before any row of the statement is there; the writer never puts two turns
-- of one session into one statement.
with n(tenant, id, agent, release, mode, session, subject, status, priority, input, metadata, attempt, epoch, owner,
       lease_until, ready, due_at, deadline_at, parent, parent_key, origin, created_at, started_at, webhook, started_by)
  as (values :rows),
m as materialized (
  select n.*, (
    select c.at from early_cancel as c
    where c.tenant = n.tenant and c.run = n.id and c.expires_at > n.created_at) as cancel_at
  from n
),
h as materialized (
  select m.*,
    m.cancel_at is not null or (m.session is not null and (m.status = 'running' or m.ready = 1) and exists (
      select 1 from run as r
      where r.tenant = m.tenant and r.agent = m.agent and r.session = m.session
        and r.status in ('queued', 'running', 'waiting'))) as held
  from m
)
insert into run(tenant, id, agent, release, mode, session, subject, status, priority, input, metadata, attempt, epoch,
                owner, lease_until, ready, ready_at, due_at, deadline_at, cancel_at, parent, parent_key, origin,
                created_at, started_at, webhook, started_by)
select tenant, id, agent, release, mode, session, subject, case when held then 'queued' else status end, priority,
  input, metadata, attempt, case when held then 0 else epoch end, case when held then null else owner end,
  case when held then null when status = 'running' then coalesce(lease_until, 0) end,
  case when held or status <> 'queued' then 0 else ready end,
  case when not held and status = 'queued' and ready = 1 then created_at end, due_at, deadline_at, cancel_at, parent,
  parent_key, origin, created_at, case when held then null else started_at end, webhook, started_by
from h
where true
on conflict (tenant, id) do nothing
returning tenant, id, status;

-- name: keep_run
-- The unique index decides; a second insert of the id touches no row.
with n(tenant, id, agent, release, subject, status, input, output, error, metadata, usage, attempt, created_at,
       started_at, finished_at) as (values :rows)
insert into run(tenant, id, agent, release, subject, status, input, output, error, metadata, usage, attempt,
                created_at, started_at, finished_at, mode)
select n.*, 'stateless' from n
where true
on conflict (tenant, id) do nothing
returning tenant, id, status;

-- name: fence
-- Returns the rows that do NOT hold: usually none, and then the answer costs one step of the database.
with n(tenant, id, epoch) as (values :rows)
select n.tenant, n.id, n.epoch
from n
where not exists (
  select 1 from run
  where run.tenant = n.tenant and run.id = n.id and run.epoch = n.epoch and run.status = 'running');

-- name: finish_run
-- Status, epoch and cancel are matched by the statement that writes the end: of two ends one touches the row.
with n(tenant, id, epoch, status, output, error, usage, finished_at) as (values :rows)
update run
set status = n.status, output = n.output, error = n.error, usage = n.usage, finished_at = n.finished_at,
  owner = null, lease_until = null, due_at = null, ready = 0
from n
where run.tenant = n.tenant and run.id = n.id and run.epoch = n.epoch and run.status = 'running'
  and (run.cancel_at is null or n.status = 'cancelled')
returning run.tenant, run.id, run.status;

-- name: end_idle_run
-- Raises the epoch: a claim that was read before can write no more.
with n(tenant, id, status, error, finished_at) as (values :rows)
update run
set status = n.status, error = n.error, finished_at = n.finished_at, epoch = run.epoch + 1,
  owner = null, lease_until = null, due_at = null, ready = 0
from n
where run.tenant = n.tenant and run.id = n.id and run.status in ('queued', 'waiting')
  and (run.cancel_at is null or n.status = 'cancelled')
returning run.tenant, run.id, run.status;

-- name: end_lost_run
-- Matches the epoch of the attempt that is given up and raises it, so that this attempt's own end falls.
with n(tenant, id, epoch, status, error, finished_at) as (values :rows)
update run
set status = n.status, error = n.error, finished_at = n.finished_at, epoch = run.epoch + 1,
  owner = null, lease_until = null, due_at = null, ready = 0
from n
where run.tenant = n.tenant and run.id = n.id and run.epoch = n.epoch and run.status = 'running'
  and (run.cancel_at is null or n.status = 'cancelled')
returning run.tenant, run.id, run.status;

-- name: park_run
-- The wakes the attempt saw are compared with those that are there in the same statement: an answer that came while
-- the attempt was on its way here is never slept over.
with n(tenant, id, epoch, wakes, due_at) as (values :rows)
update run
set status = case when run.wakes > n.wakes or run.cancel_at is not null then 'queued' else 'waiting' end,
  ready = case when run.wakes > n.wakes or run.cancel_at is not null then 1 else 0 end, ready_at = null,
  due_at = case when run.wakes > n.wakes or run.cancel_at is not null then null else n.due_at end,
  owner = null, lease_until = null
from n
where run.tenant = n.tenant and run.id = n.id and run.epoch = n.epoch and run.status = 'running'
returning run.tenant, run.id, run.status;

-- name: requeue_run
-- Raises the epoch: the attempt that was given up can write no more, and two that give it up do so once.
-- One that a hold keeps is not ready, so that no claim sees it, until the hold is lifted.
with n(tenant, id, epoch, attempt, losses, due_at, held) as (values :rows)
update run
set status = 'queued', attempt = n.attempt, losses = n.losses, due_at = n.due_at, epoch = run.epoch + 1,
  ready = case when n.due_at is null and n.held is null then 1 else 0 end, ready_at = null, held = n.held,
  owner = null, lease_until = null
from n
where run.tenant = n.tenant and run.id = n.id and run.epoch = n.epoch and run.status = 'running'
returning run.tenant, run.id, run.status;

-- name: wake_run
-- Counts even while the run is running: its next park sees the higher count.
with n(tenant, id) as (values :rows)
update run
set wakes = run.wakes + 1,
  status = case run.status when 'waiting' then 'queued' else run.status end,
  ready = case run.status when 'waiting' then 1 else run.ready end,
  ready_at = case run.status when 'waiting' then null else run.ready_at end,
  due_at = case run.status when 'waiting' then null else run.due_at end
from n
where run.tenant = n.tenant and run.id = n.id and run.status in ('queued', 'running', 'waiting')
returning run.tenant, run.id, run.status;

-- name: request_cancel
-- The first instant and reason stay; a later wish to roll back is added.
with n(tenant, id, cancel_at, reason, rollback) as (values :rows)
update run
set cancel_at = coalesce(run.cancel_at, n.cancel_at),
  cancel_reason = case when run.cancel_at is null then n.reason else run.cancel_reason end,
  rollback = case when n.rollback = 1 then 1 else run.rollback end
from n
where run.tenant = n.tenant and run.id = n.id and run.status in ('queued', 'running', 'waiting')
returning run.tenant, run.id, run.status;

-- name: remember_cancel
-- The look for the run is part of the insert: either the run is seen here, or the run sees this row.
with n(tenant, id, at, expires_at) as (values :rows)
insert into early_cancel(tenant, run, at, expires_at)
select n.tenant, n.id, n.at, n.expires_at
from n
where not exists (select 1 from run where run.tenant = n.tenant and run.id = n.id)
on conflict (tenant, run) do update set at = excluded.at, expires_at = excluded.expires_at
returning tenant, run;

-- name: insert_idempotency
-- The unique index decides between two that bind the same key; an expired binding is replaced in place.
with n(tenant, key, digest, run, created_at, expires_at) as (values :rows)
insert into idempotency(tenant, key, digest, run, created_at, expires_at)
select * from n
where true
on conflict (tenant, key) do update
set digest = excluded.digest, run = excluded.run, created_at = excluded.created_at, expires_at = excluded.expires_at
where idempotency.expires_at <= excluded.created_at
returning tenant, key;

-- name: session_of_run
-- Which Changes touch one session is settled before any of them is applied; the session of a run never changes.
with n(tenant, id) as (values :rows)
select n.tenant, n.id, run.agent, run.session
from n left join run on run.tenant = n.tenant and run.id = n.id;

-- name: supersede_run
-- The end stays; what is added beside it counts only for who has seen all that was added before (G4).
with n(tenant, id, superseded, overrides) as (values :rows)
update run
set overrides = n.overrides, superseded = run.superseded + 1
from n
where run.tenant = n.tenant and run.id = n.id and run.superseded = n.superseded
  and run.status in ('succeeded', 'failed', 'cancelled')
returning run.tenant, run.id;
