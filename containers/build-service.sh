#!/bin/bash
# Builds the service image, lussac, from the Dockerfile at the top of this project: containers/build-service.sh [BUILD-OPTION...]
#   BASE_IMAGE   a local Python image instead of the pinned one; its own id is then what the label base.digest says
#   DOCKER       the command: docker or podman
#   TAG          the name of the image (lussac)
set -euo pipefail
cd "$(dirname "$0")/.."
DOCKER=${DOCKER:-docker}
base=${BASE_IMAGE:-$(sed -n 's/^ARG BASE_IMAGE=//p' Dockerfile)}
case $base in
    *@*) digest=${base##*@} ;;
    *) digest=$("$DOCKER" image inspect --format '{{.Id}}' "$base") ;;
esac
# the classic builder is on every engine; it wants the network by name
DOCKER_BUILDKIT=0 "$DOCKER" build --network=host "$@" \
    --build-arg BASE_IMAGE="$base" --build-arg BASE_NAME="${base%@*}" --build-arg BASE_DIGEST="$digest" \
    --build-arg VERSION="$(sed -n 's/^__version__ = "\(.*\)"/\1/p' lussac/__init__.py)" \
    --build-arg REVISION="$(git describe --always --abbrev=40 --dirty --exclude='*' 2>/dev/null || echo unknown)" \
    --build-arg CREATED="$(TZ=UTC git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ 2>/dev/null || echo unknown)" \
    --tag "${TAG:-lussac}" .
"$DOCKER" image inspect --format "${TAG:-lussac} {{.Id}} {{.Size}} bytes" "${TAG:-lussac}"
