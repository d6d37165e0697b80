-- Work that waits, where one writer has the file for itself: nothing that was read can be taken by somebody else.

-- name: ready_tenants
-- Jumps from tenant to tenant along the index instead of reading the rows between them.
with recursive t(tenant) as (
  select min(tenant) from run
  where agent = :agent and status = 'queued' and ready = 1 and cancel_at is null and tenant > :after
  union all
  select (
    select min(r.tenant) from run as r
    where r.agent = :agent and r.status = 'queued' and r.ready = 1 and r.cancel_at is null and r.tenant > t.tenant)
  from t where t.tenant is not null
)
select tenant from t where tenant is not null limit :count;

-- name: best_of_tenant
select pos from run
where agent = :agent and tenant = :tenant and status = 'queued' and ready = 1 and cancel_at is null
  and (started_at is null or release = :serving or (:strictly = 0 and instr(:elsewhere, ' ' || release || ' ') = 0)
    or not exists (select 1 from step as s where s.tenant = run.tenant and s.run = run.id))
order by priority desc, pos limit :count;

-- name: renew_leases
-- A lease that is expired stays so: who lost it must not get it back.
update run set lease_until = :until
where status = 'running' and lease_until >= :at and owner = :owner
returning pos;

-- name: ready_runs
-- Runs without a session, and turns that wait: these occupy their session already.
with n(pos) as (values :rows)
update run set status = 'queued', ready = 1, ready_at = run.due_at, due_at = null
from n
where run.pos = n.pos;

-- name: release_held
-- A turn was its session's turn when the hold took it, and has been since: it is ready without standing in line again.
update run set ready = 1, held = null
where pos in (select pos from run where held = :hold and status = 'queued' limit :limit)
returning pos;

-- name: line_up_runs
-- A delayed turn whose time has come stands in line; `advance_session` of its session follows in this transaction.
with n(pos) as (values :rows)
update run set due_at = null
from n
where run.pos = n.pos;

-- name: ended_runs_of_subject
select tenant, id, agent, release, session, finished_at from run
where tenant = :tenant and subject = :subject and subject is not null and finished_at is not null
order by pos limit :limit;

-- name: ended_runs
select tenant, id, agent, release, session, finished_at from run
where finished_at is not null and session is null and finished_at >= :after and finished_at < :before
order by finished_at limit :limit;

-- name: keep_payload
-- Two runs that bring the same content share one row; never shared between tenants (I13).
-- What had become a blob is back: whatever writes finds the payloads of live runs here.
insert into payload(tenant, digest, bytes) values :rows
on conflict (tenant, digest) do update set bytes = excluded.bytes where substr(payload.bytes, 1, 6) = x'00626c6f6200';

-- name: drop_unused_payloads
delete from payload
where (tenant, digest) in (values :rows)
  and not exists (select 1 from payload_use as u where u.tenant = payload.tenant and u.digest = payload.digest);

-- name: due_deliveries
-- At most `limit`, the longest due first; of a lane only its oldest. Receivers that have no free hand are left out.
select d.pos from delivery as d
where d.status = 'pending' and d.due_at <= :at and instr(:busy, ' ' || d.receiver || ' ') = 0
  and (d.lane is null or not exists (
    select 1 from delivery as e
    where e.tenant = d.tenant and e.lane = d.lane and e.lane is not null and e.status = 'pending' and e.pos < d.pos))
order by d.due_at, d.pos limit :limit;
