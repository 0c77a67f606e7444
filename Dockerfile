# The orchestrator: reads params.json, dispatches sorters, merges. See docs/architecture.md.
#
#   docker run --rm -v "$PWD:/data" -v /var/run/docker.sock:/var/run/docker.sock lussac /data/params.json
#
# Where no registry answers, give a local base with the same Python: --build-arg BASE_IMAGE=...
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
# hdbscan and isosplit6 come as wheels for this Python, so that nothing here needs a compiler
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1
COPY requirements/build.txt requirements/image.txt /src/requirements/
RUN python3 -m venv /opt/lussac \
 && /opt/lussac/bin/pip install --quiet --no-deps --require-hashes -r /src/requirements/build.txt \
 && /opt/lussac/bin/pip install --quiet --no-build-isolation --no-deps --require-hashes -r /src/requirements/image.txt
COPY pyproject.toml README.md LICENSE /src/
COPY lussac /src/lussac
RUN /opt/lussac/bin/pip install --quiet --no-build-isolation --no-deps /src \
 && /opt/lussac/bin/pip uninstall --quiet --yes hatchling editables pathspec pluggy trove-classifiers tomlkit setuptools wheel pip \
 && find /opt/lussac -name tests -path '*/site-packages/*' -type d -prune -exec rm -rf {} +

FROM ${BASE_IMAGE}
ARG VERSION=0 REVISION=unknown
LABEL org.opencontainers.image.title="lussac" \
      org.opencontainers.image.description="One recording, several spike sorters, one set of single neurons" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/lussac /opt/lussac
# any user may run it, with or without a home: caches go where everybody may write
ENV PATH=/opt/lussac/bin:$PATH HOME=/tmp NUMBA_CACHE_DIR=/tmp/numba MPLCONFIGDIR=/tmp/matplotlib PYTHONDONTWRITEBYTECODE=1
USER 1000:1000
WORKDIR /data
ENTRYPOINT ["lussac"]
CMD ["--help"]
