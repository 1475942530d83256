#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# Each header compiles alone, the public ones in C++, too.
# shellcheck source=tests/style/files.sh
. "$(dirname "$0")/files.sh"
packages=(glib-2.0 gio-2.0 gio-unix-2.0 json-glib-1.0 libxml-2.0 liblz4 uuid
    libcpg libcmap libquorum pacemaker pacemaker-cib pacemaker-fencing libvirt
    libiscsi)
read -ra flags <<<"$(pkg-config --cflags "${packages[@]}")"
code=0

compile() { # LANGUAGE HEADER
    gcc -x "$1" -std="gnu$([[ $1 == c ]] && echo 11 || echo ++17)" \
        -fsyntax-only -Wall -Werror -D_GNU_SOURCE -include "$2" \
        -Iinclude -Isrc/lib -I"$(dirname "$2")" "${flags[@]}" /dev/null || {
        echo "does not compile alone: $2 ($1)"
        code=1
    }
}

for header in $(files '^(include|src|resource-agents|tests/unit)/.*\.h$'); do
    compile c "$header"
    [[ $header != include/* ]] || ! command -v g++ >/dev/null ||
        compile c++ "$header"
done
exit $code
