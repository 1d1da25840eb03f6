"""Whether this process is traced: as soon as somebody has set OpenTelemetry up."""

from session_router.manager import SessionManager


def kind_of_manager() -> type[SessionManager]:
    """The traced one where a tracer provider was set, as by `opentelemetry-instrument`."""
    try:
        from opentelemetry import trace

        from session_router.telemetry.traces import TracedSessionManager
    except ImportError:
        return SessionManager
    unset = (trace.ProxyTracerProvider, trace.NoOpTracerProvider)
    return (
        SessionManager if isinstance(trace.get_tracer_provider(), unset) else TracedSessionManager
    )
