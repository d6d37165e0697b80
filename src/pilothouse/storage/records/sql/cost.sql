-- What model calls cost, by day. Only ever added to, so the order of those who add does not matter.

-- name: add_cost
-- A wave adds up its rows of one key before: one statement may not touch a row twice.
with n(tenant, agent, session, day, provider, model, calls, unpriced, untold, input_tokens, output_tokens, cache_tokens,
  cost_nano, at) as (values :rows)
insert into cost(
  tenant, agent, session, day, provider, model, calls, unpriced, untold, input_tokens, output_tokens, cache_tokens,
  cost_nano, updated_at)
select n.tenant, n.agent, n.session, n.day, n.provider, n.model, n.calls, n.unpriced, n.untold, n.input_tokens,
  n.output_tokens, n.cache_tokens, n.cost_nano, n.at
from n
where true
on conflict (tenant, session, day, agent, provider, model) do update set
  calls = cost.calls + excluded.calls,
  unpriced = cost.unpriced + excluded.unpriced,
  untold = cost.untold + excluded.untold,
  input_tokens = cost.input_tokens + excluded.input_tokens,
  output_tokens = cost.output_tokens + excluded.output_tokens,
  cache_tokens = cost.cache_tokens + excluded.cache_tokens,
  cost_nano = cost.cost_nano + excluded.cost_nano,
  updated_at = excluded.updated_at;

-- name: list_costs
select
  case :grouping when 'day' then day when 'agent' then agent when 'provider' then provider
    when 'model' then provider || ': ' || model else '' end,
  sum(calls), sum(unpriced), sum(untold), sum(input_tokens), sum(output_tokens), sum(cache_tokens), sum(cost_nano)
from cost
where tenant = :tenant and session = '' and day >= :first_day and day <= :last_day
  and (:whose = '' or agent = :whose)
group by 1
order by 8 desc, 1
limit :limit;

-- name: list_costs_of_sessions
select agent || '/' || session,
  sum(calls), sum(unpriced), sum(untold), sum(input_tokens), sum(output_tokens), sum(cache_tokens), sum(cost_nano)
from cost
where tenant = :tenant and session <> '' and day >= :first_day and day <= :last_day
  and (:whose = '' or agent = :whose)
group by agent, session
order by 8 desc, 1
limit :limit;

-- name: drop_costs
delete from cost where tenant = :tenant and session = :key and agent = :agent;
