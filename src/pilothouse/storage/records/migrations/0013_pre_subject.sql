-- Of whom runs and turns are, so that all of a subject is found when it is erased. A turn says it itself: in a fork it
-- outlives the run that it copies.
create index run_subject on run(tenant, subject) where subject is not null;
alter table turn add column subject text;
update turn set subject = (select run.subject from run where run.tenant = turn.tenant and run.id = turn.run)
where exists (
  select 1 from run where run.tenant = turn.tenant and run.id = turn.run and run.subject is not null);
create index turn_subject on turn(tenant, subject) where subject is not null;
