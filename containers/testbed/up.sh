#!/bin/bash
# eval "$(containers/testbed/up.sh)" -- engines for the tests on a bare Debian machine, as root; prints `export ...` lines only.
#
# Docker, podman, a Python image, apptainer, the images of a few sorters and the service image. Each step is idempotent, uses what is
# already there and keeps its state under $TESTBED; down.sh stops only what was started here.
#   SORTERS   the images to build (simple tridesclous2 mountainsort5)
set -euo pipefail
cd "$(dirname "$0")"
. ./lib.sh

exports=$(./docker-up.sh)
eval "$exports"
BASE_IMAGE=$(./base-image.sh)
export BASE_IMAGE
./apptainer-up.sh
podman=$(./podman-up.sh) || say "no podman: its tests will be skipped"
apt_install docker-registry # for the tests that pull
apt_install rootlesskit uidmap # for those of a docker without root
make --directory=../.. --no-print-directory setup >&2
../../.venv/bin/lussac images build ${SORTERS:-simple tridesclous2 mountainsort5} >&2
sif=$(./service-up.sh) || say "no service image: its tests will be skipped"
printf '%s\n' "$podman"
printf '%s\nexport BASE_IMAGE=%s\nexport LUSSAC_SIF_DIR=%s\nexport LUSSAC_SERVICE_SIF=%s\n' \
    "$exports" "$BASE_IMAGE" "$TESTBED/sif" "$sif"
