#!/bin/bash
# Builds images of sorters: containers/build.sh SORTER... (none: the base and all that can be built here).
#   BASE_IMAGE   the Python image under containers/base; a digest for a release, or the one of testbed/base-image.sh
#   DOCKER       the command: docker or podman
#   WHEELS       a folder of wheels that are tried before the package index
#   TORCH_INDEX  address of a package index with builds of torch for the CPU (PyTorch's own has them)
#   REQUIREMENTS another lock file than requirements.txt: requirements-cpu.txt for kilosort4
set -euo pipefail
cd "$(dirname "$0")"
. ./catalogue.sh
REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)

build() { # FOLDER TAG [BUILD-ARG...]
    local folder=$1 name=$2
    shift 2
    local context=$folder
    if [ -n "${WHEELS:-}" ] && grep -q /src/wheels "$folder/Dockerfile"; then
        context=$(mktemp -d)
        trap 'rm -rf "$context"' RETURN
        cp -r "$folder/." "$context"
        mkdir "$context/wheels"
        cp "$WHEELS"/*.whl "$context/wheels"
    fi
    # the classic builder is on every engine; it wants the network by name
    DOCKER_BUILDKIT=0 "$DOCKER" build --network=host --quiet --label "org.opencontainers.image.revision=$REVISION" \
        "${@/#/--build-arg=}" --tag "$name" "$context" >/dev/null
    echo "$name $("$DOCKER" image inspect --format '{{.Size}} bytes' "$name")"
}

base() { build base lussac/base:0.105.3 ${BASE_IMAGE:+"BASE_IMAGE=$BASE_IMAGE"}; }

[ $# -gt 0 ] || set -- base simple tridesclous2 spykingcircus2 mountainsort5
based=
for sorter in "$@"; do
    [ -f "$sorter/Dockerfile" ] || { echo "there is no containers/$sorter/Dockerfile" >&2; exit 2; }
    if [ -z "$based" ] && grep -q '=lussac/base' "$sorter/Dockerfile"; then based=yes; base; fi
    case $sorter in
        base) base ;;
        *) build "$sorter" "$(tag "$sorter")" ${REQUIREMENTS:+"REQUIREMENTS=$REQUIREMENTS"} ${TORCH_INDEX:+"TORCH_INDEX=$TORCH_INDEX"} ;;
    esac
done
