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

-- The number of the last entry of each tenant's audit log. A hint until it is locked: nodes of the release before do not
-- raise it, and whoever finds a number taken looks at the log again.
create table audit_head(
  tenant text primary key,
  last integer not null
);
alter table audit_head set (fillfactor = 50);
