# The service as an image: this checkout's wheel, with what requirements.lock pins. The second stage
# runs no command: it needs no shell, and its user may write nowhere.
FROM python:3.13-slim AS build
WORKDIR /src
COPY requirements.lock ./
# Without the hashes, which would be asked of the wheel made here, too.
RUN sed -n '/==/s/ *\\$//p' requirements.lock >constraints.txt
RUN python -m pip install --no-cache-dir --constraint constraints.txt hatchling
COPY pyproject.toml README.md LICENSE ./
COPY session_router session_router
COPY migrations migrations
RUN python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir wheels .
RUN python -m venv --without-pip /opt/session-router
RUN python -m pip --python /opt/session-router/bin/python install --no-cache-dir \
    --constraint constraints.txt "$(echo wheels/session_router-*.whl)[http,metrics]"

FROM python:3.13-slim
COPY --from=build /opt/session-router /opt/session-router
ENV PATH=/opt/session-router/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    SESSION_ROUTER_HTTP_HOST=0.0.0.0 \
    SESSION_ROUTER_HTTP_PORT=8080
# Where the default SQLite file would be: mount a volume there, or name a PostgreSQL.
WORKDIR /var/lib/session-router
USER 65532:65532
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['SESSION_ROUTER_HTTP_PORT'] + '/healthz', timeout=3)"]
ENTRYPOINT ["session-router"]
CMD ["serve"]
