-- Who started a run: whoever asks for an effect does not approve it.
alter table run add column started_by text not null default '';
