#!/bin/sh
# Prints what to bind into lussac.sif so that Lussac finds this machine's apptainer (or singularity) there, and sorters run in
# images of their own:
#
#   singularity exec lussac.sif cat /opt/lussac/nested.sh > nested.sh
#   singularity exec --bind "$(sh nested.sh)" lussac.sif lussac params.json
set -eu
tool=$(command -v apptainer || command -v singularity) || { echo 'nested.sh: neither apptainer nor singularity is on the PATH' >&2; exit 1; }
say() { "$tool" buildcfg | sed -n "s/^$1=//p"; }
list=$tool
for folder in "$(say LIBEXECDIR)/$(say PACKAGE_NAME | sed 's/-.*//')" "$(say '[A-Z]*_CONFDIR')" "$(say SESSIONDIR | sed s,/mnt/session,,)"; do
    list=$list,$folder
done
# what it is linked to, as far as that is nothing of the system's
for file in $(ldd "$tool" | grep -o '/[^ ]*' | grep -Ev '^/(usr/)?lib' | xargs -r -n 1 dirname | sort -u); do
    list=$list,$file
done
echo "$list"
