# One recipe for all images made from Python packages: containers/<folder>/ says which (requirements.txt) and what else they need
# (recipe.toml). `lussac images build` gives it both, adds the labels, and puts it on containers/base or, for containers/base itself
# and sorters that need other versions, on a Python image.
ARG BASE_IMAGE=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

FROM ${BASE_IMAGE} AS build
ARG BUILD_PACKAGES=
ARG REQUIREMENTS=requirements.txt
ARG TORCH_INDEX=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
USER 0
RUN [ -z "$BUILD_PACKAGES" ] || { apt-get update -qq && apt-get install -qq --no-install-recommends $BUILD_PACKAGES >/dev/null; }
COPY . /src/
# what is new lies apart from what the base has, so that the image holds nothing twice
RUN mkdir /opt/new \
 && { [ -d /opt/venv ] || { python3 -m venv --without-pip /opt/venv && cp -a /opt/venv /opt/new/; }; } \
 && pip --python /opt/venv/bin/python install --quiet --no-compile --no-deps --ignore-installed --require-hashes \
        --prefix /opt/new/venv --find-links /src/wheels ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} -r "/src/$REQUIREMENTS" \
 && /opt/venv/bin/python /src/slim.py /opt/new/venv

FROM ${BASE_IMAGE}
ARG PACKAGES=
USER 0
RUN [ -z "$PACKAGES" ] || { apt-get update -qq && apt-get install -qq --no-install-recommends $PACKAGES >/dev/null \
        && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* /var/cache/debconf/*-old; }
COPY --from=build /opt/new/ /opt/
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# any user may run it: what is written goes to the folders that the engine gives
USER 10001:10001
CMD ["python"]
