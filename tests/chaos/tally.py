# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
"""What a chaos run has to tell, for people, for tests/run, and for a report
that several runs add to."""
import collections
import dataclasses
import pathlib
import re

import plan

RUNS = ("| seed | minutes | VMs | rounds | events | nodes fenced | cold boots "
        "| restored once more | longest recovery | violations |\n"
        "|---|---|---|---|---|---|---|---|---|---|")
EVENTS = "| event | times | longest recovery |\n|---|---|---|"
EVENT_ROW = re.compile(r"\| ([a-z-]+) \| (\d+) \| (\d+) s \|$", re.M)
RUN_ROW = re.compile(r"\| \d+ \| \d+ \| .*\|$", re.M)


@dataclasses.dataclass
class Run:
    seed: int
    minutes: float
    vms: int
    rounds: int
    kinds: collections.Counter  # events by kind
    recovery: dict              # kind -> longest, s
    fencings: int
    cold: collections.Counter   # cold boots by reason
    repeats: int
    silence: float              # s, in rounds without a disturbance
    violation: str              # empty: none

    def longest(self):
        return max(self.recovery.values(), default=0)

    def lines(self):
        reasons = ", ".join(f"{why}: {n}" for why, n in self.cold.items())
        return [f"seed {self.seed}: {self.minutes:.0f} minutes, {self.vms} "
                f"VMs, {self.rounds} rounds, {self.kinds.total()} events, "
                f"{self.fencings} nodes fenced", "",
                *event_table(self.kinds, self.recovery), "",
                f"Cold boots, all explained: {self.cold.total()}"
                + (f" ({reasons})" if reasons else ""),
                f"Restored once more: {self.repeats}",
                f"Longest recovery: {self.longest():.0f} s",
                "Longest silence of a guest in rounds without a disturbance: "
                f"{self.silence:.1f} s",
                f"Violations: {self.violation or 'none'}"]

    def row(self):
        return (f"| {self.seed} | {self.minutes:.0f} | {self.vms} | "
                f"{self.rounds} | {self.kinds.total()} | {self.fencings} | "
                f"{self.cold.total()} | {self.repeats} | "
                f"{self.longest():.0f} s | {self.violation or 'none'} |")

    def show(self):
        print(f"shown: chaos: seed {self.seed}: {self.rounds} rounds with "
              f"{self.kinds.total()} events of {len(self.kinds)} kinds in "
              f"{self.minutes:.0f} minutes, no violation")
        print(f"shown: chaos: {self.fencings} nodes fenced, "
              f"{self.cold.total()} cold boots, all explained; longest "
              f"recovery {self.longest():.0f} s")


def event_table(kinds, recovery):
    return [EVENTS, *(f"| {kind} | {kinds[kind]} | {recovery[kind]:.0f} s |"
                      for kind in [*plan.ACTIONS, *plan.DISTURBANCES]
                      if kinds[kind])]


def add(path, run):
    """One more row; the events' figures are summed up. What stands before the
    tables stays."""
    path = pathlib.Path(path)
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    kinds = collections.Counter(run.kinds)
    recovery = collections.defaultdict(float, run.recovery)
    for kind, times, seconds in EVENT_ROW.findall(text):
        kinds[kind] += int(times)
        recovery[kind] = max(recovery[kind], float(seconds))
    head = text[:text.index("\n|") + 1] if "\n|" in text else text
    lines = [head.rstrip("\n"), "", RUNS, *RUN_ROW.findall(text), run.row(),
             "", *event_table(kinds, recovery)]
    path.write_text("\n".join(lines).lstrip("\n") + "\n", encoding="utf-8")
