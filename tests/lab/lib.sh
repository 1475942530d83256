# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# For tests, sourced: helpers around the lab. Of one lab: QM_LAB_DIR says which.
#
#   lab ARGUMENT...                     tests/lab/lab
#   lab_requires                        exit 77 where no lab can be had
#   lab_new                             sets QM_LAB_DIR to a new directory
#   lab_wait_until SECONDS COMMAND...   polls, every LAB_POLL seconds (0.05);
#                                       fails, telling what, at the end
#   guest_boot_id NAME                  of the newest boot on the console
#   guest_field NAME FIELD              of the last tick: n us pass bad dirty disk
#   guest_wait_ticks NAME N [SECONDS]   N further ticks
#   guest_mem_ok NAME                   no corrupt page so far in this boot
#   guest_wait_full_check NAME [SECONDS]  a verification pass over all memory
#                                       that began after now was clean
#   guest_wait_boot NAME OLD_ID [SECONDS] ticks of a boot other than OLD_ID
#   guest_synced NAME [DISK]            last synced block of the disk log
#   disk_log_check FILE [--min-seq N]   prints JSON
#   ping_silence LOG [FROM_MS [TO_MS]]  longest silence in ms
#   fence_count NODE                    completed fencings of NODE
#   now_wall_ms                         for FROM_MS and TO_MS

LAB_LIB_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# shellcheck disable=SC2034 # for cmd/exec.sh
LAB_SRC=$LAB_LIB_DIR
# shellcheck source=tests/lab/cmd/exec.sh
. "$LAB_LIB_DIR/cmd/exec.sh"

# In a process of its own, but not in two.
lab() (
    exec_at_once "$@"
    exec "$LAB_LIB_DIR/lab" "$@"
)

lab_requires() {
    local tool
    [[ $EUID -eq 0 ]] || {
        echo "SKIP: must run as root"
        exit 77
    }
    for tool in corosync pacemakerd libvirtd qemu-system-x86_64 tgtd gcc; do
        PATH=$PATH:/usr/sbin command -v "$tool" >/dev/null || {
            echo "SKIP: no $tool, see tests/lab/deps"
            exit 77
        }
    done
}

lab_new() {
    QM_LAB_DIR=$(mktemp -d "${TMPDIR:-/tmp}/quickmig-lab.XXXXXX")
    export QM_LAB_DIR
}

now_wall_ms() {
    date +%s%3N
}

# By the uptime, not the wall clock, and without a process for it.
lab_wait_until() {
    local seconds=$1 now end=
    shift
    until "$@" >/dev/null 2>&1; do
        read -r now _ </proc/uptime
        now=${now/./} # in hundredths
        : "${end:=$((now + ${seconds%.*} * 100))}"
        if [[ $now -ge $end ]]; then
            echo "waited $seconds s in vain for: $*" >&2
            return 1
        fi
        sleep "${LAB_POLL:-0.05}"
    done
}

guest_console() {
    echo "$QM_LAB_DIR/console/$1.log"
}

guest_boot_id() {
    grep -ao 'BOOT boot=[0-9a-f-]\{36\}' "$(guest_console "$1")" |
        tail -n 1 | cut -d= -f2
}

# The last complete tick line; fails without one.  (It is polled: few
# processes.)
guest_last_tick() {
    local lines i
    mapfile -t lines < <(tail -c 4096 "$(guest_console "$1")")
    for ((i = ${#lines[@]} - 1; i >= 0; i--)); do
        if [[ ${lines[i]} =~ ^TICK\ boot=.*\ disk=[0-9,]*$ ]]; then
            echo "${lines[i]}"
            return
        fi
    done
    return 1
}

guest_field() {
    [[ $(guest_last_tick "$1") =~ \ $2=([^ ]*) ]] || return 1
    echo "${BASH_REMATCH[1]}"
}

# None yet is no failure.
guest_ticks() {
    grep -ac '^TICK boot=.* disk=' "$(guest_console "$1")" || :
}

_guest_ticks_ge() {
    [[ $(guest_ticks "$1") -ge $2 ]]
}

guest_wait_ticks() {
    local target
    target=$(($(guest_ticks "$1") + $2))
    lab_wait_until "${3:-30}" _guest_ticks_ge "$1" "$target"
}

_guest_other_boot() {
    local id
    id=$(guest_field "$1" boot)
    [[ -n $id && $id != "$2" ]]
}

guest_wait_boot() {
    lab_wait_until "${3:-60}" _guest_other_boot "$1" "$2"
}

# CORRUPT lines of this boot, and the counter, so that neither is missed.
guest_mem_ok() {
    local bad
    bad=$(guest_field "$1" bad)
    [[ $bad == 0 ]] || {
        echo "guest $1: ${bad:-unknown} corrupt pages" >&2
        return 1
    }
    [[ $(tac "$(guest_console "$1")" | sed '/BOOT boot=/q' |
        grep -ac '^CORRUPT') == 0 ]]
}

_guest_pass_ge() {
    [[ $(guest_field "$1" pass) -ge $2 ]]
}

# The pass that is under way may have checked a page before now: it does not
# count, the one after it does.
guest_wait_full_check() {
    local pass
    guest_wait_ticks "$1" 2 "${2:-60}" || return 1 # the counter is fresh
    pass=$(guest_field "$1" pass)
    lab_wait_until "${2:-60}" _guest_pass_ge "$1" $((pass + 2)) || return 1
    guest_mem_ok "$1"
}

guest_synced() {
    guest_field "$1" disk | cut -d, -f "$((${2:-0} + 1))"
}

disk_log_check() {
    "$LAB_LIB_DIR/disklog" "$@"
}

ping_silence() {
    "$LAB_LIB_DIR/ping-watch" report "$1" ${2:+--from "$2"} ${3:+--to "$3"} |
        sed 's/.*"longest_silence_ms": \([0-9]*\).*/\1/'
}

fence_count() {
    grep -c "event=done .*node=$1 .*verdict=ok" "$QM_LAB_DIR/fence.log" || true
}
