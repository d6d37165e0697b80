-- The hot path: attempts that only append.

-- name: append_all
-- Fences, steps and events of a whole batch, and the mark of its lane, in one statement that is one transaction. The
-- fences lock the runs in the order of (tenant, id) and look at the newest version of each, so an attempt whose epoch
-- was raised writes nothing (I6); the unique indexes refuse a number or a step that somebody else has written. Unless
-- all holds, the division fails and with it the whole; the batch is then done again in detail.
with m as (
  update lane set batch = $1::bigint, at = $2::bigint where owner = $3::text and batch = $4::bigint returning 1),
f as materialized (
  select r.pos
  from run as r join unnest($5::text[], $6::text[], $7::bigint[]) as n(tenant, id, epoch)
    on r.tenant = n.tenant and r.id = n.id
  where r.epoch = n.epoch and r.status = 'running'
  order by r.tenant, r.id for no key update of r),
s as (
  insert into step(tenant, run, key, phase, row)
  select * from unnest($8::text[], $9::text[], $10::text[], $11::bigint[], $12::bytea[])),
e as (
  insert into event(tenant, run, seq, count, at, data)
  select * from unnest($13::text[], $14::text[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bytea[]))
select 1 / (case when (select count(*) from m) = 1 and (select count(*) from f) = $19::bigint then 1 else 0 end);
