# Sluice in a container: docker build -t sluice . && docker run --rm -p 127.0.0.1:8080:8080 sluice
#
# With a GPU add --gpus all. The index's own torch brings CUDA along; a smaller image for CPUs takes
# --build-arg PIP_EXTRA_INDEX_URL=<an index with CPU builds>.
# `docker stop -t 45`: streams get http.drain_timeout_s (25 s) to finish, and docker alone gives 10.

FROM python:3.11-slim-bookworm AS build
WORKDIR /opt/sluice
COPY . .
ARG PIP_EXTRA_INDEX_URL
# The cache stays outside the image and spares the download when only the source has changed.
RUN --mount=type=cache,target=/root/.cache/pip scripts/environment

FROM python:3.11-slim-bookworm
# The C compiler that builds the language engine's kernels for the processor it finds (workers/llm/kernels).
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
# The home keeps what a hub model downloads: mount a volume there to keep it longer.
RUN useradd --system --uid 10001 --home-dir /var/lib/sluice --create-home sluice
COPY --from=build /opt/sluice /opt/sluice
WORKDIR /opt/sluice
USER sluice
# Published ports reach the container by its own address, not by its loopback.
ENV SLUICE__HTTP__HOST=0.0.0.0 \
    SLUICE__HTTP__PORT=8080 \
    PYTHONUNBUFFERED=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
EXPOSE 8080
# Whether the process lives: a model that still loads is no reason to be replaced. /readyz is for routing.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD [".venv/bin/python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ['SLUICE__HTTP__PORT']}/healthz\", timeout=4)"]
ENTRYPOINT [".venv/bin/python", "-m", "service"]
