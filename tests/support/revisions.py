"""What revisions to come may do, besides those that there are: bodies for `releases.to_come`."""

COLUMN = """
def upgrade():
    schema = op.get_context().version_table_schema
    op.add_column("sessions", sa.Column("mood", sa.Text()), schema=schema)


def downgrade():
    op.drop_column("sessions", "mood", schema=op.get_context().version_table_schema)
"""
INDEX = """
def upgrade():
    create_index("workers_host_idx", "workers", ["host"])


def downgrade():
    drop_index("workers_host_idx", "workers")
"""
CHECK = '''
TRIGGER = """
CREATE TRIGGER watch AFTER DELETE ON interrupt_signals BEGIN
    SELECT RAISE(ABORT, 'watched');
END
"""


def signals(condition):
    from session_router.database.schema import build_tables

    table = build_tables(None).interrupt_signals.to_metadata(sa.MetaData())
    for check in [c for c in table.constraints if isinstance(c, sa.CheckConstraint)]:
        table.constraints.remove(check)
    table.append_constraint(sa.CheckConstraint(condition, name="interrupt_signals_action_check"))
    return table


def upgrade():
    longer = signals("action LIKE 'cancel%' OR action = 'dream'")
    replace_check("interrupt_signals_action_check", longer, [TRIGGER])


def downgrade():
    shorter = signals("action = 'cancel'")
    replace_check("interrupt_signals_action_check", shorter)
'''
FUNCTION = r'''
def upgrade():
    schema = op.get_context().version_table_schema
    if schema is None:
        op.execute("CREATE VIEW moods AS SELECT event_id, 'it''s 10%' AS mood FROM session_events")
        return
    op.execute(f"""
CREATE FUNCTION {schema}.mood(given TEXT) RETURNS TEXT LANGUAGE plpgsql
SET search_path = pg_catalog AS $$
DECLARE
    found TEXT := given::TEXT || ' : 10%';
BEGIN
    RETURN format('%s; it''s %I', found, $1);  -- a ; ends nothing
END
$$""")


def downgrade():
    schema = op.get_context().version_table_schema
    op.execute(f"DROP FUNCTION {schema}.mood" if schema else "DROP VIEW moods")
'''
