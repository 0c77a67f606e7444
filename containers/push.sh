#!/bin/bash
# Pushes the service image and the images of sorters that docker has, and prints the digest of each, which belongs into
# lussac/sorters/images.toml: containers/push.sh REGISTRY [IMAGE...]   (registry.org/lab)
#   DOCKER   the command: docker or podman
set -euo pipefail
cd "$(dirname "$0")"
. ./catalogue.sh
registry=${1:?say where: make push REGISTRY=registry.org/lab}
shift
if [ $# -eq 0 ]; then
    version=$("$DOCKER" image inspect --format '{{index .Config.Labels "org.opencontainers.image.version"}}' lussac)
    "$DOCKER" tag lussac "lussac:$version"
    set -- "lussac:$version" $(for sorter in $(present); do tag "$sorter"; done)
fi
for image; do
    target=$registry/${image##*/}
    "$DOCKER" tag "$image" "$target"
    "$DOCKER" push --quiet "$target" >/dev/null
    "$DOCKER" image inspect --format '{{join .RepoDigests "\n"}}' "$target" | grep "^${target%:*}@"
done
