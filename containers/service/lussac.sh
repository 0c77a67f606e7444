#!/bin/sh
# What `lussac` is in the image: gives up root before anything of ours runs, then points Python at the compiled kernels.
#
# Who owns the data and which group docker's socket has differ from machine to machine, so that no user written into the image
# can be right. Docker starts this file as root, and it becomes the owner of the data folder, with the socket's group and no
# capabilities. Started as anybody else (docker --user, apptainer) it stays that user.
set -eu

home=/opt/lussac
nobody=65534 # what an owner looks like who has no number in this user namespace (rootless docker, podman)

# The folder that the command is about: that of the first argument which names a place, else the working directory.
place() {
    for word; do
        case $word in
            -*) ;;
            */) [ ! -d "$word" ] || { echo "$word"; return; } ;;
            */*) [ ! -d "${word%/*}" ] || { [ -d "$word" ] && echo "$word" || echo "${word%/*}"; return; } ;;
        esac
    done
    echo .
}

if [ "$(id -u)" = 0 ] && ! grep -q '^CapEff:	0*$' /proc/self/status; then
    data=$(place "$@")
    user=$(stat -Lc %u -- "$data") group=$(stat -Lc %g -- "$data")
    if [ "$(findmnt --noheadings --output TARGET --target "$data")" = / ]; then # nothing of the host: any user will do
        user=10001 group=10001
    elif [ "$user" = $nobody ]; then # root here is the user who started the container: nobody else may write
        user=0 group=0
    fi
    socket=${DOCKER_HOST:-unix:///var/run/docker.sock}
    socket=${socket#unix://}
    groups=$group
    for more in $(id -G | sed 's/\b0\b//') $([ ! -S "$socket" ] || stat -Lc %g -- "$socket"); do
        groups=$groups,$more
    done
    exec setpriv --reuid "$user" --regid "$group" --groups "$groups" \
        --inh-caps=-all --ambient-caps=-all --bounding-set=-all --no-new-privs "$0" "$@"
fi

# Folders of this user alone: in apptainer /tmp is the host's, where anybody could leave compiled code for us to run.
cache=${TMPDIR:-/tmp}/lussac-$(id -u)
mkdir -m 700 "$cache" 2>/dev/null || { [ -O "$cache" ] && [ -d "$cache" ] && [ ! -L "$cache" ]; } ||
    cache=$(mktemp -d 2>/dev/null) || {
    echo 'lussac: this container has nowhere to keep scratch files. Start it with a writable /tmp: docker run --tmpfs /tmp ...' >&2
    exit 2
}
kernels=$cache/kernels-$(cat $home/kernels/ID)
if [ ! -d "$kernels" ]; then
    part=$(mktemp -d "$cache/part.XXXXXX")
    cp -r $home/kernels/numba/. "$part"
    mv -T "$part" "$kernels" 2>/dev/null || rm -rf "$part" # another run was faster
fi
export NUMBA_CACHE_DIR="$kernels" MPLCONFIGDIR="$cache/matplotlib" USER="${USER:-lussac}" LOGNAME="${LOGNAME:-lussac}"
# The kernels are compiled for every processor of the last ten years; an older one compiles its own.
if grep -q '^flags.* avx2 .*bmi2' /proc/cpuinfo && grep -qw fma /proc/cpuinfo; then
    export NUMBA_CPU_NAME=x86-64-v3 NUMBA_CPU_FEATURES=
fi
unset PYTHONPATH PYTHONHOME PYTHONSTARTUP # apptainer hands on those of the user
exec $home/bin/python -m lussac "$@"
