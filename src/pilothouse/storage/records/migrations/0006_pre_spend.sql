-- What runs, sessions, agents and tenants have used, where a budget caps it. Money in billionths of a dollar.
create table spend(
  pos integer primary key,
  tenant text not null,
  scope text not null,
  who text not null,
  period text not null,
  tokens integer not null,
  cost_nano integer not null,
  model_calls integer not null,
  tool_calls integer not null,
  steps integer not null,
  wall_us integer not null,
  updated_at integer not null
) strict;
create unique index spend_key on spend(tenant, scope, who, period);
create index spend_updated on spend(updated_at) where scope in ('run', 'session');
