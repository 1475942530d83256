#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
"""
cib-normal.py CIB RESOURCE: what the CIB says of a quickmig VM, its constraints
and the node daemon, one line each, without the ids of sets, in order: to
compare what different tools have made.
"""
import sys
import xml.etree.ElementTree as ET


def seconds(text):
    for unit, factor in (("min", 60), ("s", 1), ("", 1)):
        if text.endswith(unit) and text[: len(text) - len(unit)].isdigit():
            return str(int(text[: len(text) - len(unit)]) * factor)
    return text


def primitive(element, lines):
    name = element.get("id")
    lines.append("%s %s:%s:%s" % (name, element.get("class"),
                                  element.get("provider"), element.get("type")))
    for kind in ("instance_attributes", "meta_attributes", "utilization"):
        for pair in element.findall(kind + "/nvpair"):
            lines.append("%s %s %s=%s" % (name, kind, pair.get("name"),
                                          pair.get("value")))
    for op in element.findall("operations/op"):
        # pcs writes this one down, too, with the default of Pacemaker.
        if op.get("name") == "reload-agent" and op.get("timeout") == "20s":
            continue
        lines.append("%s op %s interval=%s timeout=%s" % (
            name, op.get("name"), seconds(op.get("interval") or "0"),
            seconds(op.get("timeout") or "")))


def location(element, lines):
    for rule in element.findall("rule"):
        score = rule.get("score") or rule.get("score-attribute")
        for e in rule.findall("expression"):
            lines.append("location %s %s score=%s: %s %s %s" % (
                element.get("id"), element.get("rsc"), score,
                e.get("attribute"), e.get("operation"), e.get("value")))


def order(element, lines):
    lines.append("order " + " ".join(
        "%s=%s" % (key, element.get(key)) for key in (
            "id", "kind", "first", "first-action", "then", "then-action",
            "symmetrical")))


def main():
    root = ET.parse(sys.argv[1]).getroot()
    vm = sys.argv[2]
    lines = []
    for element in root.iter("primitive"):
        if element.get("provider") == "quickmig":
            primitive(element, lines)
    for clone in root.iter("clone"):
        for pair in clone.findall("meta_attributes/nvpair"):
            lines.append("clone %s %s=%s" % (clone.get("id"), pair.get("name"),
                                             pair.get("value")))
    for element in root.iter("rsc_location"):
        if element.get("rsc") == vm:
            location(element, lines)
    for element in root.iter("rsc_order"):
        order(element, lines)
    print("\n".join(sorted(lines)))


main()
