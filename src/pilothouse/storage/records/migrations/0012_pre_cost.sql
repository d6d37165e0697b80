-- What model calls cost, by day: kept for good, when the runs are long gone. `session` '' has what all sessions used
-- together; the rows of a session go with it. Money in billionths of a dollar.
create table cost(
  pos integer primary key,
  tenant text not null,
  agent text not null,
  session text not null,
  day text not null,
  provider text not null,
  model text not null,
  calls integer not null,
  unpriced integer not null,
  untold integer not null,
  input_tokens integer not null,
  output_tokens integer not null,
  cache_tokens integer not null,
  cost_nano integer not null,
  updated_at integer not null
) strict;
create unique index cost_key on cost(tenant, session, day, agent, provider, model);
create index cost_session on cost(tenant, day) where session <> '';
