-- Reviews: open, then one of three ends.

-- name: insert_review
-- A repeated attempt asks again under the same id: the unique index keeps the first.
with n(tenant, id, run, step, agent, kind, question, details, created_at, expires_at) as (values :rows)
insert into review(tenant, id, run, step, agent, kind, question, details, created_at, expires_at, status)
select n.*, 'open' from n
where true
on conflict (tenant, id) do nothing;

-- name: close_review
-- The status is matched by the statement that writes: of racing verdicts one touches the row (I11).
with n(tenant, id, status, answer, at) as (values :rows)
update review
set status = n.status, answer = n.answer, decided_at = n.at
from n
where review.tenant = n.tenant and review.id = n.id and review.status = 'open'
returning review.tenant, review.id;

-- name: cancel_reviews
-- Of the run that ended; those that have an end keep it, and what is asked after the fact is still to be answered.
with n(tenant, run, at) as (values :rows)
update review
set status = 'cancelled', decided_at = n.at
from n
where review.tenant = n.tenant and review.run = n.run and review.status = 'open' and review.kind not in ('audit', 'appeal', 'incident')
returning review.tenant, review.id, review.run;

-- name: extend_review
-- Only an open one: whoever decided meanwhile has the last word.
with n(tenant, id, expires_at) as (values :rows)
update review
set expires_at = n.expires_at
from n
where review.tenant = n.tenant and review.id = n.id and review.status = 'open'
returning review.tenant, review.id;

-- name: supersede_review
-- Not while the run lives: it may be acting on the answer at this very moment. The status of the run is matched by the
-- statement that writes, so a run cannot be taken up again in between.
with n(tenant, id, run, superseded, overrides) as (values :rows)
update review
set overrides = n.overrides, superseded = review.superseded + 1
from n
where review.tenant = n.tenant and review.id = n.id and review.superseded = n.superseded
  and review.status in ('decided', 'expired')
  and exists (
    select 1 from run
    where run.tenant = n.tenant and run.id = n.run and run.status in ('succeeded', 'failed', 'cancelled'))
returning review.tenant, review.id;
