"""A trigger that holds every change of a status against the moves that there are. Not for: databases of users."""

from __future__ import annotations

import psycopg

from goque.model.states import MOVES

_ALLOWED = sorted({f"{move.before} -> {move.after}" for move in MOVES})
_GUARD = """
create or replace function public.check_move() returns trigger language plpgsql as $$
begin
    if old.status <> new.status and old.status || ' -> ' || new.status <> all (array[{allowed}]) then
        raise exception 'task % made a move that there is not: % -> %', old.id, old.status, new.status;
    end if;
    return new;
end $$;
create or replace trigger check_move before update on goque.task for each row execute function public.check_move();
"""
_NOTES = """
create table public.move (number serial, task_id bigint, before text, after text);
create function public.note_move() returns trigger language plpgsql as $$
begin
    insert into public.move (task_id, before, after) values (old.id, old.status, new.status);
    return new;
end $$;
create trigger note_move after update of status on goque.task for each row execute function public.note_move();
"""


def guard(dsn: str) -> None:
    """From now on a statement fails that moves a task from one status to another where ``MOVES`` has no such move."""
    allowed = ", ".join(f"'{move}'" for move in _ALLOWED)
    with psycopg.connect(dsn) as connection:
        connection.execute(_GUARD.replace("{allowed}", allowed).encode())


def note(dsn: str) -> None:
    """Keep every status that a statement writes from now on, the same one again included."""
    with psycopg.connect(dsn) as connection:
        connection.execute(_NOTES.encode())


def noted(dsn: str, task: int) -> list[tuple[str, str]]:
    """What was kept of a task, before and after, in order."""
    with psycopg.connect(dsn) as connection:
        return connection.execute(
            "select before, after from public.move where task_id = %s order by number", (task,)
        ).fetchall()
