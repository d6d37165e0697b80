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

-- name: ready_tenants
-- As on SQLite, without those of whom all is left to others.
with recursive t(tenant) as (
  select min(r.tenant) from run as r
  where r.agent = :agent and r.status = 'queued' and r.ready = 1 and r.cancel_at is null and r.tenant > :after
    and /* mine */
  union all
  select (
    select min(r.tenant) from run as r
    where r.agent = :agent and r.status = 'queued' and r.ready = 1 and r.cancel_at is null and r.tenant > t.tenant
      and /* mine */)
  from t where t.tenant is not null
)
select tenant from t where tenant is not null limit :count;

-- name: best_of_tenant
-- Where tenants have shares: else all is chosen by `claim_ready`.
select pos from run as r
where r.agent = :agent and r.tenant = :tenant and r.status = 'queued' and r.ready = 1 and r.cancel_at is null
  and /* mine */
  and (r.started_at is null or r.release = :serving
    or (:strictly = 0 and strpos(:elsewhere, ' ' || r.release || ' ') = 0)
    or not exists (select 1 from step as s where s.tenant = r.tenant and s.run = r.id))
order by r.priority desc, r.pos limit :count
for no key update of r skip locked;

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

-- name: ended_runs_of_subject
select tenant, id, agent, release, session, finished_at from run
where tenant = :tenant and subject = :subject and subject is not null and finished_at is not null
order by pos limit :limit
for update skip locked;

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

-- name: claim_ready
-- For each agent: its tenants along the index, beginning after the one that was served last; of each as much as its
-- share, rows that another node has locked left out; the best of each tenant first. The condition is looked at again in
-- the newest version of the row, by the lock and by the update. A run that has started keeps its release (I17), and is
-- left to whoever hosts that one. The update does not look at the status, which the lock has: else it might be planned
-- along an index of live rows, all of them for each row.
-- The names of `c` are those of no column: what is returned is the run.
with w as materialized (
  select * from (values :rows)
    as n(agent, after, count, serving, strictly, elsewhere, since, slots, claimer, instant, until)
),
t as materialized (
  select w.*, x.tenant, x.turn, count(*) over (partition by w.agent) as among
  from w cross join lateral (
    select y.tenant, row_number() over (order by y.lap, y.tenant) as turn
    from (
      (with recursive u(tenant) as (
         select min(r.tenant) from run as r where /* is_ready */ and r.tenant > w.after
         union all
         select (select min(r.tenant) from run as r where /* is_ready */ and r.tenant > u.tenant)
         from u where u.tenant is not null)
       select 0 as lap, u.tenant from u where u.tenant is not null limit w.count)
      union all
      (with recursive u(tenant) as (
         select min(r.tenant) from run as r where /* is_ready */
         union all
         select (select min(r.tenant) from run as r where /* is_ready */ and r.tenant > u.tenant)
         from u where u.tenant is not null)
       select 1 as lap, u.tenant from u where u.tenant <= w.after limit w.count)
    ) as y
  ) as x
  where x.turn <= w.count
),
b as materialized (
  select t.*, p.pos, row_number() over (partition by t.agent, t.tenant order by p.priority desc, p.pos) as rank
  from t cross join lateral (
    select r.pos, r.priority from run as r
    where r.agent = t.agent and r.tenant = t.tenant and r.status = 'queued' and r.ready = 1 and r.cancel_at is null
      and (r.session is null or r.ready_at is null or r.ready_at <= t.since or get_bit(t.slots, /* slot */) = 1)
      and (r.started_at is null or r.release = t.serving
        or (t.strictly = 0 and strpos(t.elsewhere, ' ' || r.release || ' ') = 0)
        or not exists (select 1 from step as s where s.tenant = r.tenant and s.run = r.id))
    order by r.priority desc, r.pos limit (t.count + t.among - 1) / t.among
    for no key update skip locked) as p
),
c(who, place, number, among, wanted, serving, claimer, instant, until) as materialized (
  select b.agent, b.pos, row_number() over (partition by b.agent order by b.rank, b.turn), b.among, b.count, b.serving,
    b.claimer, b.instant, b.until
  from b
)
update run
set status = 'running', ready = 0, due_at = null, owner = c.claimer, lease_until = c.until, epoch = run.epoch + 1,
  release = case when run.started_at is null then c.serving else run.release end,
  started_at = coalesce(run.started_at, c.instant)
from c
where c.number <= c.wanted and run.pos = c.place and run.ready = 1
returning c.who, c.number, c.among, coalesce((
  select e.seq + e.count - 1 from event as e
  where e.tenant = run.tenant and e.run = run.id order by e.seq desc limit 1), 0), /* run */;

-- fragment: is_ready
r.agent = w.agent and r.status = 'queued' and r.ready = 1 and r.cancel_at is null
and (r.session is null or r.ready_at is null or r.ready_at <= w.since or get_bit(w.slots, /* slot */) = 1)

-- fragment: mine
(r.session is null or r.ready_at is null or r.ready_at <= :since or get_bit(:slots, /* slot */) = 1)

-- fragment: slot
-- As `domain.roster.slot_of` computes it, only of what is too young to be anybody's.
get_byte(sha256(convert_to(r.tenant || chr(10) || r.session, 'UTF8')), 0) * 4
  + (get_byte(sha256(convert_to(r.tenant || chr(10) || r.session, 'UTF8')), 1) & 3)
