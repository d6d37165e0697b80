-- What superseded an outcome or a decision; the row itself stays as it was.
alter table run add column overrides blob;
alter table run add column superseded integer not null default 0;
alter table review add column overrides blob;
alter table review add column superseded integer not null default 0;
