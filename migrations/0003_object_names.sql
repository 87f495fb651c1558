-- Names under which objects are found again, and how long an object stays after its last use where that was said.

alter table {schema}.object add column keep_s double precision;

create table {schema}.object_name (
    owner       text not null,
    name        text not null,
    digest      text not null,
    key_id      text not null,
    seal        bytea not null,
    changed_at  timestamptz not null default now(),
    primary key (owner, name),
    foreign key (digest, key_id) references {schema}.object on delete cascade
);
create index object_name_object on {schema}.object_name (digest, key_id);
