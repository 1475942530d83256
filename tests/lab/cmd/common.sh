# shellcheck shell=bash disable=SC2034 # used by the other parts
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# What all commands need: errors, log, deadlines, process identity, files of
# the lab directory. Sourced by lab.

die() {
    echo "lab: $*" >&2
    exit 1
}

die_usage() {
    echo "lab: $*; see 'lab --help'" >&2
    exit 2
}

# Into lab.log only: "lab" says little when all is well.
log() {
    printf '%(%F %T)T.%s %s\n' -1 "$(date +%3N)" "$*" >>"$LAB_DIR/lab.log"
}

say() {
    log "$*"
    echo "lab: $*" >&2
}

# deadline SECONDS: prints the deadline for past(), in ms.
deadline() {
    echo $(($(now_ms) + $1 * 1000))
}

# Uptime, so that a change of the wall clock does no harm.
now_ms() {
    local up rest
    read -r up rest </proc/uptime
    echo "${up%.*}${up#*.}0"
}

past() {
    [[ $(now_ms) -ge $1 ]]
}

# wait_until SECONDS WHAT COMMAND...: polls COMMAND; fails with WHAT.
wait_until() {
    local end what=$2
    end=$(deadline "$1")
    shift 2
    until "$@" >/dev/null 2>&1; do
        if past "$end"; then
            say "gave up waiting: $what"
            return 1
        fi
        sleep 0.1
    done
}

# Makes LAB_DIR absolute and, except for "up", insists on a lab being there.
open_dir() {
    [[ -n $LAB_DIR ]] || die "no lab directory: give --dir DIR or set QM_LAB_DIR"
    case $LAB_DIR in *[:,\ ]*) die "no ':', ',' or space in $LAB_DIR, please" ;; esac
    [[ $1 != up ]] || mkdir -p "$LAB_DIR"
    if [[ ! -d $LAB_DIR ]]; then
        [[ $1 == down ]] && exit 0
        die "no such directory: $LAB_DIR"
    fi
    LAB_DIR=$(cd "$LAB_DIR" && pwd -P)
    [[ $1 == up ]] && return
    if [[ ! -e $LAB_DIR/lab.id ]]; then
        [[ $1 == down ]] && exit 0
        die "$LAB_DIR is not a lab directory: run 'lab up' first"
    fi
    LAB_ID=$(<"$LAB_DIR/lab.id")
    load_config
}

# The options of "up", kept for later commands.
load_config() {
    NODES=3 OVERLAY='' TOKEN=1000 PACEMAKER=yes AUTO_REBOOT=no
    # shellcheck source=/dev/null
    [[ ! -e $LAB_DIR/config ]] || . "$LAB_DIR/config"
}

save_config() {
    local name
    for name in NODES OVERLAY TOKEN PACEMAKER AUTO_REBOOT; do
        printf '%s=%q\n' "$name" "${!name}"
    done >"$LAB_DIR/config.new"
    mv "$LAB_DIR/config.new" "$LAB_DIR/config"
}

node_names() {
    local i
    for ((i = 1; i <= NODES; i++)); do echo "n$i"; done
}

# Number of node $1; ends the program when there is no such node.
node_number() {
    local i=${1#n}
    [[ $1 == n* && $i =~ ^[1-9][0-9]*$ && $i -le $NODES ]] ||
        die_usage "no such node '$1' (nodes are n1 to n$NODES)"
    echo "$i"
}

node_dir() {
    if [[ $1 == sw ]]; then
        echo "$LAB_DIR/sw"
    else
        echo "$LAB_DIR/nodes/$1"
    fi
}

# Field 22 of /proc/PID/stat: the start time tells a PID from its reuse.
start_time() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    [[ ${stat##*) } != Z* ]] || return 1
    awk '{ print $20 }' <<<"${stat##*) }"
}

# record_pid FILE PID
record_pid() {
    echo "$2 $(start_time "$2")" >"$1"
}

# Prints the PID in a pid file if that very process still lives.
live_pid() {
    local pid start
    [[ -e $1 ]] || return 1
    read -r pid start <"$1" || return 1
    [[ -n $start && $(start_time "$pid") == "$start" ]] || return 1
    echo "$pid"
}

# PID 1 of a node (or of sw) as seen from here; fails if it is down. The lock
# serves when "start" was killed before it wrote the pid file.
node_pid() {
    local dir
    dir=$(node_dir "$1")
    live_pid "$dir/pid" || "$LABNS" pid "$dir/lock"
}

need_node() {
    [[ $1 == sw ]] || node_number "$1" >/dev/null
    node_pid "$1" || die "$1 is not running"
}

# in_node NODE COMMAND...: for our own use; the user's is cmd_exec.
in_node() {
    local pid
    pid=$(node_pid "$1") || return 1
    shift
    "$LABNS" exec "$pid" "$@"
}

# spawn_logged LOGFILE COMMAND...: a daemon that holds none of our files.
spawn_logged() {
    local file=$1
    shift
    setsid -f "$@" </dev/null >>"$file" 2>&1
}

# A UUID that is always the same for the same words.
stable_uuid() {
    local h
    h=$(sha1sum <<<"$*")
    echo "${h:0:8}-${h:8:4}-5${h:13:3}-a${h:17:3}-${h:20:12}"
}
