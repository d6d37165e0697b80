-- What agent frameworks keep of a session: one trail a turn.

alter table turn add column trail blob;
alter table turn add column is_whole integer not null default 0;
create index turn_whole on turn(tenant, agent, session, number) where is_whole = 1;
