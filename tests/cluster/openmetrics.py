#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
"""
openmetrics.py < FILE: a strict reader of OpenMetrics text.  Prints each sample
as NAME{label="value",...} VALUE, labels in order; ends with 1 and the line
that is wrong: a sample without its family, families in pieces, counters
without _total, the same sample twice, wrong escapes, text after # EOF.
"""
import re
import sys

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"'
SUFFIXES = {"counter": {"_total", "_created"}, "gauge": {""},
            "stateset": {""}, "summary": {"", "_sum", "_count", "_created"}}


def fail(number, line, why):
    sys.exit("line %d: %s: %s" % (number, why, line))


def labels_of(number, line, text):
    found = {}
    rest = text
    while rest:
        m = re.match(LABEL, rest)
        if not m or m.group(1) in found:
            fail(number, line, "labels")
        found[m.group(1)] = m.group(2)
        rest = rest[m.end():]
        if rest and (not rest.startswith(",") or rest == ","):
            fail(number, line, "labels")
        rest = rest[1:]
    return found


def describe(number, line, families, current):
    m = re.match(r"# (TYPE|UNIT|HELP) (%s) (.+)$" % NAME, line)
    if not m:
        fail(number, line, "neither a sample nor metadata")
    kind, name, text = m.groups()
    if name != current:
        if kind != "TYPE" or name in families:
            fail(number, line, "a family begins with TYPE, once")
        if text not in SUFFIXES:
            fail(number, line, "type")
        families[name] = text
    elif kind == "UNIT" and not name.endswith("_" + text):
        fail(number, line, "the unit is no suffix of the name")
    return name


def sample(number, line, families, current, seen):
    m = re.match(r"(%s)(?:\{(.*)\})? (-?[0-9]+(?:\.[0-9]+)?)$" % NAME, line)
    if not m or current is None or not m.group(1).startswith(current):
        fail(number, line, "not of this family")
    suffix = m.group(1)[len(current):]
    kind = families[current]
    if suffix not in SUFFIXES[kind]:
        fail(number, line, "suffix of a " + kind)
    labels = labels_of(number, line, m.group(2) or "")
    if kind == "stateset" and (current not in labels or
                               m.group(3) not in ("0", "1")):
        fail(number, line, "stateset")
    if kind == "counter" and float(m.group(3)) < 0:
        fail(number, line, "counter")
    key = "%s{%s}" % (m.group(1), ",".join(
        '%s="%s"' % pair for pair in sorted(labels.items())))
    if key in seen:
        fail(number, line, "twice")
    seen[key] = m.group(3)


def main():
    families, seen, current, ended = {}, {}, None, False
    text = sys.stdin.read()
    if not text.endswith("\n"):
        sys.exit("no newline at the end")
    for number, line in enumerate(text[:-1].split("\n"), 1):
        if ended:
            fail(number, line, "after # EOF")
        if line == "# EOF":
            ended = True
        elif line.startswith("#"):
            current = describe(number, line, families, current)
        else:
            sample(number, line, families, current, seen)
    if not ended:
        sys.exit("no # EOF")
    for pair in seen.items():
        print("%s %s" % pair)


main()
