#!/bin/bash
# Makes image files for apptainer and singularity of the sorters whose images docker has: containers/sifs.sh [SORTER...]
# They go where runs look for them: $LUSSAC_SIF_DIR, or ~/.cache/lussac/sif.
#   DOCKER   the command: docker or podman
#   LUSSAC   the command: lussac
set -euo pipefail
cd "$(dirname "$0")"
. ./catalogue.sh
[ $# -gt 0 ] || set -- $(present)
[ $# -gt 0 ] || { echo 'docker has no image of a sorter: make images' >&2; exit 1; }
"${LUSSAC:-lussac}" images pull "$@" --engine singularity
