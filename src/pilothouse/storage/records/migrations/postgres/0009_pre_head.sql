-- The number of the last entry of each tenant's audit log. A hint until it is locked: nodes of the release before do not
-- raise it, and whoever finds a number taken looks at the log again.
create table audit_head(
  tenant text primary key,
  last integer not null
);
alter table audit_head set (fillfactor = 50);
