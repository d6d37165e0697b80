-- Deliveries: what must reach somebody outside. A claim is a `due_at` in the future and a higher `attempt`.

-- name: insert_delivery
with n(tenant, id, run, agent, type, receiver, lane, body, at) as (values :rows)
insert into delivery(tenant, id, run, agent, type, receiver, lane, body, status, attempt, due_at, created_at)
select n.tenant, n.id, n.run, n.agent, n.type, n.receiver, n.lane, n.body, 'pending', 0, n.at, n.at
from n;

-- name: claim_deliveries
-- The positions were read in this transaction. The attempt is the fence: whoever held an earlier one can settle nothing.
with n(pos, until) as (values :rows)
update delivery set attempt = delivery.attempt + 1, due_at = n.until
from n
where delivery.pos = n.pos and delivery.status = 'pending'
returning delivery.pos, /* delivery */;

-- name: settle_delivery
with n(tenant, id, attempt, status, due_at, reason, finished_at) as (values :rows)
update delivery set status = n.status, due_at = n.due_at, reason = n.reason, finished_at = n.finished_at
from n
where delivery.tenant = n.tenant and delivery.id = n.id and delivery.status = 'pending' and delivery.attempt = n.attempt
returning delivery.tenant, delivery.id;

-- name: retry_delivery
-- One that is being tried at this moment is tried again: the settling of the first try finds another attempt.
with n(tenant, id, at) as (values :rows)
update delivery set status = 'pending', attempt = 0, due_at = n.at, finished_at = null
from n
where delivery.tenant = n.tenant and delivery.id = n.id
returning delivery.tenant, delivery.id;

-- name: stop_receiver
-- The first reason stays.
with n(tenant, receiver, at, reason) as (values :rows)
insert into stopped_receiver(tenant, receiver, at, reason)
select * from n
where true
on conflict (tenant, receiver) do nothing;

-- name: allow_receiver
delete from stopped_receiver where (tenant, receiver) in (values :rows);

-- name: find_stop
select reason from stopped_receiver where tenant = :tenant and receiver = :receiver;

-- name: next_delivery
select min(due_at) from delivery where status = 'pending';

-- name: get_delivery
select /* delivery */ from delivery where tenant = :tenant and id = :delivery;

-- name: list_deliveries
select pos, /* delivery */ from delivery
where tenant = :tenant and pos < :before and (:status is null or status = :status)
  and (:receiver is null or receiver = :receiver)
order by pos desc limit :limit;

-- name: list_open_deliveries
-- What is pending or dead, along an index that does not hold the others.
select pos, /* delivery */ from delivery
where tenant = :tenant and status = :status and status <> 'delivered' and pos < :before
  and (:receiver is null or receiver = :receiver)
order by pos desc limit :limit;

-- name: list_deliveries_of_run
select pos, /* delivery */ from delivery
where tenant = :tenant and run = :run and pos < :before and (:status is null or status = :status)
  and (:receiver is null or receiver = :receiver)
order by pos desc limit :limit;

-- name: ended_deliveries
select tenant, id, run, agent from delivery where finished_at is not null and finished_at < :before
order by finished_at limit :limit;

-- name: deliveries_of_runs
select tenant, id from delivery where (tenant, run) in (values :rows);

-- name: prune_deliveries
delete from delivery where (tenant, id) in (values :rows);
