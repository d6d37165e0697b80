-- What was used, by scope and period. It is only ever added to, so the order of those who add does not matter.

-- name: add_spend
-- A wave adds up its rows of one key before: one statement may not touch a row twice.
with n(tenant, who, scope, period, tokens, cost_nano, model_calls, tool_calls, steps, wall_us, at) as (values :rows)
insert into spend(
  tenant, who, scope, period, tokens, cost_nano, model_calls, tool_calls, steps, wall_us, updated_at)
select n.tenant, n.who, n.scope, n.period, n.tokens, n.cost_nano, n.model_calls, n.tool_calls, n.steps, n.wall_us, n.at
from n
where true
on conflict (tenant, scope, who, period) do update set
  tokens = spend.tokens + excluded.tokens,
  cost_nano = spend.cost_nano + excluded.cost_nano,
  model_calls = spend.model_calls + excluded.model_calls,
  tool_calls = spend.tool_calls + excluded.tool_calls,
  steps = spend.steps + excluded.steps,
  wall_us = spend.wall_us + excluded.wall_us,
  updated_at = excluded.updated_at;

-- name: get_spend
select tokens, cost_nano, model_calls, tool_calls, steps, wall_us from spend
where tenant = :tenant and scope = :scope and who = :who and period = :period;

-- name: prune_spend
-- Those of runs and sessions end with what they are about; agents and tenants stay, since their periods go on.
delete from spend where pos in (
  select pos from spend where scope in ('run', 'session') and updated_at < :before order by updated_at limit :limit)
returning pos;
