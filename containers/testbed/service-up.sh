#!/bin/bash
# SIF=$(service-up.sh): the service image, and the same as a file for apptainer, made anew when the image is another. On stdout: its path.
set -euo pipefail; . "$(dirname "$0")/lib.sh"
cd "$(dirname "$0")/../.."
containers/build-service.sh --quiet >&2
sif=$TESTBED/lussac.sif
id=$(docker image inspect --format '{{.Id}}' lussac)
if [ ! -f "$sif" ] || [ "$(cat "$sif.id" 2>/dev/null)" != "$id" ]; then
    make --silent sif SIF="$sif.part" >&2
    mv "$sif.part" "$sif"
    echo "$id" >"$sif.id"
fi
echo "$sif"
