"""TLS to PostgreSQL, as libpq's options ask for it."""

import os
import ssl
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from sqlalchemy.engine import URL

from session_router.database.asyncpg_options import refused

_SYSTEM: Final = "system"


def tls_arguments(url: URL, tls: dict[str, str]) -> dict[str, Any]:
    """The arguments of `asyncpg.connect` for those options of a URL.

    Raises:
        InvalidDatabaseUrlError: a certificate or key is missing, or is none.
    """
    if not tls:
        return {}
    context = _with_the_files(url, tls)
    if tls.get("sslrootcert") == _SYSTEM:
        is_direct = tls.get("sslnegotiation") == "direct"
        return {"ssl": context} | ({"direct_tls": True} if is_direct else {})
    return {"dsn": f"postgresql://?{urlencode(tls)}"}  # asyncpg has no arguments for them


def _with_the_files(url: URL, tls: dict[str, str]) -> ssl.SSLContext:
    """A context that verifies the server in full, with the system's certificates or those named.

    asyncpg makes its own of files that are named. That they can be used is tried here, since it
    would not say which cannot, and only at the first connection.
    """
    _check_mode(url, tls)
    context = ssl.create_default_context()
    context.set_alpn_protocols(["postgresql"])
    for name in ("sslrootcert", "sslcrl", "sslcert"):
        if name in tls and tls[name] != _SYSTEM:
            try:
                _load(context, name, tls)
            except OSError as error:  # of ssl's own, too
                raise refused(
                    url,
                    f"has {name}={tls[name]}, which cannot be used ({error.strerror or error}); "
                    "name a file in PEM that this user can read",
                ) from None
    return context


def _check_mode(url: URL, tls: dict[str, str]) -> None:
    mode, root = tls.get("sslmode"), tls.get("sslrootcert")
    if root == _SYSTEM and mode not in (None, "verify-full"):
        raise refused(
            url, f"has sslmode={mode} beside sslrootcert=system; use verify-full, or leave it out"
        )
    named = root or os.environ.get("PGSSLROOTCERT") or Path("~/.postgresql/root.crt").expanduser()
    if mode in ("verify-ca", "verify-full") and root != _SYSTEM and not Path(named).exists():
        raise refused(
            url,
            f"has sslmode={mode}, but no certificate to verify the server by at {str(named)!r}; "
            "add sslrootcert=FILE, or sslrootcert=system",
        )


def _load(context: ssl.SSLContext, name: str, tls: dict[str, str]) -> None:
    if name == "sslcert":
        password = tls.get("sslpassword", "")
        context.load_cert_chain(tls[name], tls.get("sslkey"), password=lambda: password)
    else:
        context.load_verify_locations(tls[name])
