"""`python -m session_router` is `session-router`."""

from session_router.cli import main

if __name__ == "__main__":
    main()
