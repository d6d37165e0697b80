-- Growing old: what ended long ago and belongs to no session goes, with all that hangs on it, in one transaction.

-- name: list_placed_holds
select body from document where kind = 'hold' and state in ('placed', 'effective');

-- name: count_steps_of
select tenant, run, count(*) from step where (tenant, run) in (values :rows) group by tenant, run;

-- name: count_events_of
select tenant, run, count(*) from event where (tenant, run) in (values :rows) group by tenant, run;

-- name: reviews_of_runs
select tenant, id from review where (tenant, run) in (values :rows);

-- name: prune_steps
delete from step where (tenant, run) in (values :rows);

-- name: prune_events
delete from event where (tenant, run) in (values :rows);

-- name: prune_reviews
delete from review where (tenant, run) in (values :rows);

-- name: prune_beside
-- Documents that stand beside a run, and go with it.
delete from document where (tenant, id) in (values :rows);

-- name: prune_runs
delete from run where (tenant, id) in (values :rows);

-- name: prune_idempotency
delete from idempotency where pos in (
  select pos from idempotency where expires_at <= :before order by expires_at limit :limit)
returning pos;

-- name: prune_early_cancels
delete from early_cancel where pos in (
  select pos from early_cancel where expires_at <= :before order by expires_at limit :limit)
returning pos;
