/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The safety model of quickmig: doc/protocol.md as it is built, for one VM,
 * its vault, one or two disks, two or three nodes and whatever may go wrong.
 * doc/model.md says what is in it and what is not; tests/model/run runs it.
 */
#include "steps.h"
#include "state.pml"
#include "storage.pml"
#include "agent.pml"
#include "world.pml"

/* The VM runs on node 1, generation 1; or it is off. */
inline begin_running()
{
    rec_state = RUNNING;
    rec_owner = 1;
    rec_gen = 1;
    rec_image = 1;
    hold[VAULT] = 1;
    taken[VAULT] = 1;
    dom[1] = RUNS;
    fresh[1] = 1;
    note[1] = 3;
    gate_gen[1] = 1;
    for (k : 1 .. disks) {
        hold[k] = 1;
        taken[k] = 1;
        ses[AT(k, 1)] = HOLDER;
        gate[AT(k, 1)] = G_OPEN
    }
}

init {
    byte n;

    atomic {
        c_code {
            nodes = model_option("nodes", 2);
            disks = model_option("disks", 1);
            lio = model_option("lio", 0);
            without = model_option("without", 0);
            also = model_option("also", 0);
            asks = model_option("asks", 0);
            ending = model_option("ending", 0);
            now.actions = model_option("actions", 0);
            now.crashes = model_option("crashes", 0);
            now.reboots = model_option("reboots", 0);
            now.kills = model_option("kills", 0);
            now.lates = model_option("lates", 0);
            now.drops = model_option("drops", 0);
            now.restarts = model_option("restarts", 0);
            now.cuts = model_option("cuts", 0);
            now.splits = model_option("splits", 0);
            now.lies = model_option("lies", 0);
            now.fails = model_option("fails", 0);
            now.bads = model_option("bads", 0);
        };
        begin_running();
        n = 1;
        do
        :: n > nodes -> break
        :: n <= nodes ->
            up[n] = 1;
            member[n] = 1;
            boot[n] = 0;
            run Agent(n);
            run Worker(n);
            run Nexus(n, VAULT);
            run Nexus(n, 1);
            if
            :: disks > 1 -> run Nexus(n, 2)
            :: else
            fi;
            n++
        od;
        run Faults();
        run Pacemaker();
        n = 0
    }
}
