"""What the revision of past workers does to a database that is in use."""

from session_router.database.migrate import Target, check, downgrade, upgrade
from tests.support.by_hand import execute

BEFORE = "0012"
VIEW = "session_router.report_agents"


async def test_who_might_read_a_view_may_read_the_one_in_its_place(postgres_url: str) -> None:
    await downgrade(Target(postgres_url), BEFORE)
    try:
        await execute(
            postgres_url,
            'CREATE ROLE "reader of reports"',
            f'GRANT SELECT ON {VIEW} TO "reader of reports" WITH GRANT OPTION',
            f"GRANT SELECT ON {VIEW} TO PUBLIC",
            "SELECT 1",
        )
        await upgrade(Target(postgres_url))
        found = await execute(
            postgres_url,
            "SELECT pg_get_userbyid(grantee) AS role, grantee = 0 AS is_public, is_grantable "
            f"FROM pg_class, aclexplode(relacl) WHERE oid = '{VIEW}'::regclass "
            "AND grantee <> relowner ORDER BY is_public",
        )
        assert [tuple(row)[1:] for row in found] == [(False, True), (True, False)]
        assert found[0]["role"] == "reader of reports"
        assert await check(Target(postgres_url)) == []
    finally:
        await execute(
            postgres_url,
            'DROP OWNED BY "reader of reports"',
            'DROP ROLE "reader of reports"',
            "SELECT 1",
        )
