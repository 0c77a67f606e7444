# One recipe for the sorters that can't be made from packages (MATLAB's compiler, CUDA of long ago): a pinned SpikeInterface laid over
# their published image, which BASE_IMAGE names by its digest. The sorter stays as it was published.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
ARG PYTHON=python
ARG PACKAGES=
USER 0
COPY . /src/
# The image's own Python, whichever it is, sees what the image has and, before that, what is pinned here; its pip may be too old for
# today's wheels.
RUN { command -v "$PYTHON" >/dev/null || { apt-get update -qq && apt-get install -qq --no-install-recommends $PACKAGES >/dev/null \
        && rm -rf /var/lib/apt/lists/*; }; } \
 && version=$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])') \
 && { [ -f "/src/requirements-$version.txt" ] || { echo "the image has Python $version; containers/published has requirements for" \
        $(cd /src && ls requirements-*.txt | sed 's/requirements-//; s/.txt//'); exit 1; }; } \
 && "$PYTHON" -m venv --system-site-packages /opt/venv \
 && /opt/venv/bin/python -m pip install --quiet --no-cache-dir --no-deps --require-hashes -r /src/pip.txt \
 && /opt/venv/bin/python -m pip install --quiet --no-cache-dir --no-compile --no-deps --ignore-installed --require-hashes \
        --only-binary :all: -r "/src/requirements-$version.txt" \
 && /opt/venv/bin/python -m pip uninstall --quiet --yes pip \
 && /opt/venv/bin/python /src/slim.py /opt/venv/lib \
 && rm -rf /src
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
ENTRYPOINT []
CMD ["python"]
