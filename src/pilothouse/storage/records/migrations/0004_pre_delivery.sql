alter table run add column webhook blob;

-- What must reach somebody outside. Written with the event that it tells of; `due_at` is also the end of the claim of
-- whoever tries it now.
create table delivery(
  pos integer primary key,
  tenant text not null,
  id text not null,
  run text not null,
  agent text not null,
  type text not null,
  receiver text not null,
  lane text,
  body blob not null,
  status text not null check (status in ('pending', 'delivered', 'dead')),
  attempt integer not null,
  due_at integer,
  reason text,
  created_at integer not null,
  finished_at integer
) strict;
create unique index delivery_id on delivery(tenant, id);
create index delivery_run on delivery(tenant, run);
create index delivery_status on delivery(tenant, status) where status <> 'delivered';
create index delivery_due on delivery(due_at) where status = 'pending';
create index delivery_lane on delivery(tenant, lane) where status = 'pending' and lane is not null;
create index delivery_ended on delivery(finished_at) where finished_at is not null;


create table stopped_receiver(
  tenant text not null,
  receiver text not null,
  at integer not null,
  reason text not null,
  primary key (tenant, receiver)
) strict, without rowid;
