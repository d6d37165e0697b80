-- Steps and events: append-only.

-- name: append_step
-- A second row for the same key and phase is refused by the unique index: a fault, never an overwrite (I2).
insert into step(tenant, run, key, phase, row) values :rows;

-- name: resolve_step
-- The unique index decides between racing ends; who comes second touches no row and learns it.
with n(tenant, run, key, phase, row) as (values :rows)
insert into step(tenant, run, key, phase, row)
select * from n
where true
on conflict (tenant, run, key, phase) do nothing
returning tenant, run;

-- name: append_events
-- The writer gives `seq` within the transaction; the unique index would refuse a number given twice (I3).
insert into event(tenant, run, seq, count, at, data) values :rows;

-- name: last_seq
-- Asked only for runs whose number the writer does not remember.
with n(tenant, run) as (values :rows)
select n.tenant, n.run, coalesce((
  select e.seq + e.count - 1 from event as e
  where e.tenant = n.tenant and e.run = n.run
  order by e.seq desc limit 1), 0)
from n;
