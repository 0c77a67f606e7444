# The service image: reads params.json, starts each sorter in a container of its own, merges. See docs/workstation.md.
#
#   docker run --rm -v "$PWD:/data" -v /var/run/docker.sock:/var/run/docker.sock lussac /data/params.json
#
# `make image` builds it. Where no registry answers, give a local base with the same Python: --build-arg BASE_IMAGE=...
ARG BASE_IMAGE=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

FROM ${BASE_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONHASHSEED=0
RUN apt-get update -qq && apt-get install -qq --no-install-recommends binutils >/dev/null
# What builds the few libraries that come as source only stays in an environment of its own.
COPY requirements/build.txt requirements/image.txt /src/requirements/
RUN python3 -m venv /opt/build \
 && /opt/build/bin/pip install --quiet --no-deps --require-hashes -r /src/requirements/build.txt \
 && /opt/build/bin/pip wheel --quiet --no-build-isolation --no-deps --require-hashes --wheel-dir /wheels -r /src/requirements/image.txt
COPY containers/slim.py /src/
# The libraries, without what no run reads: widgets of notebooks, sample data.
RUN python3 -m venv --without-pip /opt/lussac \
 && /opt/build/bin/pip --python /opt/lussac/bin/python install --quiet --no-compile --no-deps --no-index --find-links /wheels \
        $(ls /wheels | sed -E 's/^([^-]+)-([^-]+)-.*/\1==\2/') \
 && cd /opt/lussac/lib/python3*/site-packages \
 && rm -rf /opt/lussac/share/jupyter plotly/labextension plotly/package_data/datasets matplotlib/mpl-data/sample_data sklearn/datasets/data sklearn/datasets/images \
 && /opt/lussac/bin/python /src/slim.py
# What an apptainer of the host, bound into the SIF of this image, opens the images of sorters with.
RUN apt-get update -qq && apt-get install -qq --no-install-recommends squashfuse >/dev/null \
 && mkdir -p /rootfs/usr/bin /rootfs/usr/lib/x86_64-linux-gnu \
 && cp /usr/bin/squashfuse_ll /rootfs/usr/bin/ \
 && ldd /usr/bin/squashfuse_ll | grep -oE '/\S+lib(fuse3|lzo2|lz4|squashfuse\S*)\.so\S*' | xargs -I{} cp -L {} /rootfs/usr/lib/x86_64-linux-gnu/
COPY pyproject.toml README.md LICENSE /src/
COPY lussac /src/lussac
COPY containers /src/containers
COPY containers/service /src/service
# Lussac, its command, and its kernels: compiled here, or each container would compile them again; and for any x86-64-v3, or
# they would serve on machines like this one only. The end: the same times in each build.
ARG SOURCE_DATE_EPOCH=1748736000
RUN /opt/build/bin/pip wheel --quiet --no-build-isolation --no-deps --wheel-dir /own /src \
 && /opt/build/bin/pip --python /opt/lussac/bin/python install --quiet --no-compile --no-deps --no-index --find-links /own lussac \
 && cd /opt/lussac/lib/python3*/site-packages \
 && /opt/lussac/bin/python -m compileall -q --invalidation-mode unchecked-hash lussac \
 && install -m 755 /src/service/lussac.sh /opt/lussac/bin/lussac \
 && mkdir /opt/lussac/kernels \
 && NUMBA_CACHE_DIR=/opt/lussac/kernels/numba NUMBA_CPU_NAME=x86-64-v3 NUMBA_CPU_FEATURES= PYTHONDONTWRITEBYTECODE=1 \
        /opt/lussac/bin/python /src/service/warm.py \
 && /opt/lussac/bin/python /src/service/settle.py /opt/lussac/kernels/numba \
 && (cd /opt/lussac/kernels/numba && find . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -c -12) > /opt/lussac/kernels/ID \
 && mkdir -p /rootfs/opt /rootfs/data \
 && mv /src/service/nested.sh /opt/lussac/ && mv /opt/lussac /rootfs/opt/ \
 && find /rootfs -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

FROM ${BASE_IMAGE}
COPY --from=build /rootfs /
# /data belongs to root, so that nobody writes results into a container by mistake. Python reads nothing of a user's home (with
# apptainer the host's) or of the folder that the command is called in.
ENV PATH=/opt/lussac/bin:$PATH HOME=/tmp LUSSAC_IMAGE=lussac PYTHONDONTWRITEBYTECODE=1 PYTHONNOUSERSITE=1 PYTHONSAFEPATH=1
ARG VERSION=0 REVISION=unknown CREATED=1970-01-01T00:00:00Z BASE_NAME=unknown BASE_DIGEST=unknown
# Labels can't be read from within: what a record of a run says about the image where no daemon can be asked.
ENV LUSSAC_REVISION=${REVISION} LUSSAC_BASE_NAME=${BASE_NAME} LUSSAC_BASE_DIGEST=${BASE_DIGEST}
LABEL org.opencontainers.image.title="lussac" \
      org.opencontainers.image.description="One recording, several spike sorters, one set of single neurons" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="${BASE_NAME}" \
      org.opencontainers.image.base.digest="${BASE_DIGEST}"
WORKDIR /data
# Starts as root, and gives that up before anything of ours runs: see containers/service/lussac.sh
ENTRYPOINT ["lussac"]
CMD ["--help"]
