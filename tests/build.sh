#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# For tests/run: builds the tree, its tests included, in $QM_BUILD and installs
# it below $QM_DEST; "sanitizers" builds the unit tests in $QM_BUILD/asan.
set -euo pipefail
: "${QM_SRC:?the source directory}" "${QM_BUILD:?}" "${QM_DEST:?}"
JOBS=${QM_JOBS:-$(nproc)}

configure_in() { # DIR OPTION...
    local dir=$1
    shift
    mkdir -p "$dir"
    cd "$dir"
    [[ -e config.status ]] || "$QM_SRC/configure" --prefix=/usr \
        --libdir="/usr/lib/$(gcc -print-multiarch)" --sysconfdir=/etc \
        --localstatedir=/var --runstatedir=/run --enable-gcc-warnings "$@"
}

[[ -x $QM_SRC/configure && $QM_SRC/configure -nt $QM_SRC/configure.ac ]] ||
    "$QM_SRC/autogen.sh"
if [[ ${1:-} == sanitizers ]]; then
    configure_in "$QM_BUILD/asan" --with-sanitizers=address,undefined
    make -j"$JOBS" check TESTS=
else
    configure_in "$QM_BUILD"
    make -j"$JOBS" all
    make -j"$JOBS" check TESTS=
    rm -rf "$QM_DEST"
    make install DESTDIR="$QM_DEST"
fi
