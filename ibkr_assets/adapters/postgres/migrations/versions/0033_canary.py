"""What a language model said to a few fixed questions, by which it is known again."""

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

CANARY = """
create table llm.canary (
  canary_id bigint generated always as identity primary key,
  endpoint text not null,
  model text not null,
  questions_sha256 text not null check (length(questions_sha256) = 64),
  verdict text not null check (verdict in ('recorded', 'same', 'changed')),
  answers jsonb not null,
  difference text not null,
  actor text not null check (actor <> ''),
  at timestamptz not null default clock_timestamp(),
  check ((verdict = 'changed') = (difference <> ''))
);
comment on table llm.canary is 'a model whose newest row says changed has no say; recorded is a person''s word';
create index canary_by_model on llm.canary (endpoint, model, questions_sha256, canary_id);
create trigger canary_is_append_only before update or delete or truncate on llm.canary
  for each statement execute function research.refuse_change();
"""

GRANTS = """
do $$
declare name text;
begin
  foreach name in array array['ibkr_app', 'ibkr_submitter', 'ibkr_dashboard'] loop
    if exists (select from pg_roles where rolname = name) then
      execute format('grant select on llm.canary to %I', name);
    end if;
  end loop;
  if exists (select from pg_roles where rolname = 'ibkr_app') then
    grant insert on llm.canary to ibkr_app;
  end if;
end $$;
"""


def upgrade() -> None:
    """Create the table."""
    for script in (CANARY, GRANTS):
        op.get_bind().exec_driver_sql(script.replace("%", "%%"))


def downgrade() -> None:
    """Refused: a model that was found to be another one stays so."""
    raise NotImplementedError("there is no way back; restore a backup")
