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
CREATE TRIGGER watch AFTER DELETE ON session_events BEGIN
    SELECT RAISE(ABORT, 'append-only');
END
"""


def events(condition):
    from session_router.database.schema import build_tables

    table = build_tables(None).session_events.to_metadata(sa.MetaData())
    for check in [c for c in table.constraints if isinstance(c, sa.CheckConstraint)]:
        table.constraints.remove(check)
    table.append_constraint(sa.CheckConstraint(condition, name="session_events_event_check"))
    return table


def upgrade():
    longer = events("event LIKE 'session%' OR event IN ('stream_started', 'dreamt')")
    replace_check("session_events_event_check", longer, [TRIGGER])


def downgrade():
    shorter = events("event IN ('session_started', 'stream_started')")
    replace_check("session_events_event_check", shorter)
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
