#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# Limits that keep the code readable: lines of a file and of a function, SPDX
# headers, and nothing of the machine that it was written on.
# shellcheck source=tests/style/files.sh
. "$(dirname "$0")/files.sh"
FILE_MAX=600    # lines
FUNCTION_MAX=80 # lines from { to }
code=0

complain() {
    echo "$*"
    code=1
}

for file in $(files '\.[ch]$'); do
    lines=$(wc -l <"$file")
    [[ $lines -le $FILE_MAX ]] || complain "$file: $lines lines"
    long=$(awk -v max=$FUNCTION_MAX -v file="$file" '
        /^{/ { begin = NR }
        /^}/ && begin { if (NR - begin - 1 > max)
            print file ":" begin ": a function of " NR - begin - 1 " lines"
            begin = 0 }' "$file")
    [[ -z $long ]] || complain "$long"
done
for file in $(files '\.([chp]|py|sh|mk|ac|am|[1-8])$'); do
    head -n 4 "$file" | grep -q 'SPDX-License-Identifier: LGPL-2.1-or-later' ||
        complain "$file: no SPDX header"
done
for file in $(files .); do
    ! grep -qI 'TODO\|FIXME\|XXX' "$file" || [[ $file == tests/style/* ||
        $file == COPYING ]] || ! grep -nI '\bTODO\b\|\bFIXME\b\|\bXXX\b' "$file" ||
        complain "$file: unfinished"
done
exit $code
