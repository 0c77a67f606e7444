#!/bin/bash
# Stops what up.sh started. --purge also deletes its images.
set -euo pipefail
cd "$(dirname "$0")"
./docker-down.sh "$@"
./podman-down.sh
