-- What PostgreSQL has beyond the common layout, as it is after every migration: the readable truth.

-- One row for each lane that writes: see `mark_batch`.
create table lane(
  owner text primary key,
  batch integer not null,
  at integer not null
);

-- Rows that are changed often keep room for their next version on the same page.
alter table run set (fillfactor = 80);
alter table lane set (fillfactor = 50);
