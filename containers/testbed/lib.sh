# Shared by the testbed scripts; sourced, never run. All talk goes to stderr.
: "${TESTBED:=${TMPDIR:-/tmp}/lussac-testbed}"            # everything private lives here
: "${TESTBED_USER:=testbed}"                   # the non-root user
export TESTBED TESTBED_USER DEBIAN_FRONTEND=noninteractive
say() { echo "[$(basename "$0") +${SECONDS}s] $*" >&2; }
die() { say "ERROR: $*"; exit 1; }
mkdir -p "$TESTBED"; chmod 755 "$TESTBED"

# apt_install PKG...: quiet, no recommends, starts no service, installs only what dpkg lacks.
apt_install() {
    local p miss=() policy=/usr/sbin/policy-rc.d made=
    for p in "$@"; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || miss+=("$p")
    done
    [ ${#miss[@]} -gt 0 ] || return 0
    say "apt: ${miss[*]}"
    (   flock 9
        [ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' >$policy; chmod 755 $policy; made=1; }
        # an old package list gives 404s: refresh when there is none from the last 6 hours
        if [ -z "$(find /var/lib/apt/lists -maxdepth 1 -name '*_Packages*' -mmin -360 2>/dev/null)" ] ||
           ! apt-cache show "${miss[@]}" >/dev/null 2>&1; then
            apt-get update -qq -o DPkg::Lock::Timeout=300 >>"$TESTBED/apt.log" 2>&1 || say "apt-get update had errors"
        fi
        rc=0
        apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
            "${miss[@]}" >>"$TESTBED/apt.log" 2>&1 || rc=$?
        [ -z "$made" ] || rm -f $policy
        exit $rc
    ) 9>"$TESTBED/apt.lock" || { tail -20 "$TESTBED/apt.log" >&2; die "apt-get install ${miss[*]}"; }
}

# debian_fetch SUITE DIR PKG...: download .debs of another suite (no install, own lists, host's mirror and key).
debian_fetch() {
    local suite=$1 dir=$2; shift 2
    local st="$TESTBED/apt-$suite" mirror
    mirror=$(debian_mirror)
    mkdir -p "$st/lists/partial" "$st/cache/archives/partial" "$dir"
    # _apt (the unprivileged fetcher) may not reach our folder: fetch as root
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$st/sources.list"
    local o=(-o Dir::Etc::SourceList="$st/sources.list" -o Dir::Etc::SourceParts=/dev/null
             -o Dir::State::Lists="$st/lists" -o Dir::Cache::Archives="$st/cache/archives"
             -o Acquire::Check-Valid-Until=false -o Acquire::Check-Date=false
             -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
             -o APT::Sandbox::User=root -o Acquire::Languages=none)
    apt-get update -qq "${o[@]}" >>"$TESTBED/apt.log" 2>&1 || die "apt-get update $suite (see $TESTBED/apt.log)"
    (cd "$dir" && apt-get download -qq "${o[@]}" "$@" >>"$TESTBED/apt.log" 2>&1) || die "apt-get download $*"
}

debian_mirror() {   # the first Debian mirror of this machine's apt
    { grep -hE '^URIs:' /etc/apt/sources.list.d/*.sources 2>/dev/null | awk '{print $2}'
      sed -nE 's/\[[^]]*\]//; s/^deb +([^ ]+).*/\1/p' /etc/apt/sources.list 2>/dev/null || true
    } | grep -E '/debian/?$' | head -1
}

# stop_pidfile FILE NAME: TERM, then KILL after 20 s, only if the pid still is that program.
stop_pidfile() {
    local f=$1 name=$2 pid i
    pid=$(cat "$f" 2>/dev/null) || { say "$name: no pid file, nothing to stop"; return 0; }
    if [ -n "$pid" ] && [ "$(cat /proc/$pid/comm 2>/dev/null)" = "$name" ]; then
        kill "$pid"
        for i in $(seq 200); do [ -d /proc/$pid ] || break; sleep 0.1; done
        [ ! -d /proc/$pid ] || { kill -9 "$pid"; sleep 0.5; }
        say "$name (pid $pid) stopped"
    fi
    rm -f "$f"
}
