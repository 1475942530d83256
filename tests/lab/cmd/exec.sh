# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# Where the lab's own program is, and how it gets into a node: for lab, and for
# tests, which look into nodes all the time and need nothing else of lab for it.
# $LAB_SRC: the directory above.

LAB_CACHE=${QM_LAB_CACHE:-$LAB_SRC/.cache}
LABNS=$LAB_CACHE/labns
export PATH=$PATH:/usr/sbin:/sbin

# exec_at_once ARGUMENT...: becomes what "lab ARGUMENT..." would run in a node;
# returns if it is another command, or something is not as it should be.
exec_at_once() {
    local lock=${QM_LAB_DIR:-}/nodes/${2:-}/lock
    [[ ${2:-} != sw ]] || lock=${QM_LAB_DIR:-}/sw/lock
    if [[ ${1:-} == exec && $# -ge 3 && ${QM_LAB_DIR:-} == /* && $EUID -eq 0 &&
        -e $lock ]]; then
        exec "$LABNS" exec "$lock" "${@:3}"
    fi
}
