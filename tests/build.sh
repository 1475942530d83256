#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# For tests/run: builds the tree, its tests included, in $QM_BUILD and installs
# it below $QM_DEST; "sanitizers" builds unit tests and fuzzers in
# $QM_BUILD/asan, "crash" the programs with crash points in $QM_BUILD/crash (with
# -O1: half the processor time) and installs them over a copy of $QM_DEST.
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
    # One made without fuzzers is of no use any more.
    ! grep -qs with-sanitizers "$QM_BUILD/asan/config.status" ||
        grep -q fuzzer-no-link "$QM_BUILD/asan/config.status" ||
        rm -rf "$QM_BUILD/asan"
    # Tests are written with gcc: what clang warns of does not end its build.
    configure_in "$QM_BUILD/asan" CC=clang --disable-gcc-warnings \
        --with-sanitizers=address,undefined,fuzzer-no-link
    make -j"$JOBS" check TESTS=
elif [[ ${1:-} == crash ]]; then
    configure_in "$QM_BUILD/crash" --enable-crash-points \
        --disable-gcc-warnings CFLAGS=-O1
    rm -rf dest
    cp -a "$QM_DEST" dest
    make -j"$JOBS" DESTDIR="$PWD/dest" install-agentPROGRAMS \
        install-gatePROGRAMS install-sbinPROGRAMS install-binPROGRAMS
else
    configure_in "$QM_BUILD"
    make -j"$JOBS" all
    make -j"$JOBS" check TESTS=
    rm -rf "$QM_DEST"
    make install DESTDIR="$QM_DEST"
fi
