/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * What is around the actions: gates and guests, faults, Pacemaker.
 */

/* The right that is asked in step 3: of the vault's record. */
#define KIND (want[me] - 1)
#define VAULT_RIGHT \
    ((KIND == R_RECEIVE && rec_state == SAVED && rec_target == me && \
      (rec_image == want_image[me] || !STEP(WORKER_IMAGE)) && \
      (tomb[me] != rec_image || !STEP(TOMBSTONE))) || \
     (KIND != R_RECEIVE && !OTHERS) || \
     (KIND == R_START && SURELY_GONE(rec_owner) && member[me]))
#define GATE_RIGHT_NOW \
    ((MINE && rec_gen == gate_gen[me] && \
      (gate[AT(lun, me)] == G_ACQUIRE || member[me] || \
       !STEP(GATE_QUORUM))) || !STEP(GATE_RIGHT))
#define RIGHT \
    ((lun == VAULT && VAULT_RIGHT) || (lun != VAULT && GATE_RIGHT_NOW))

/* A node's nexus at one LUN.  The vault's acts for an action (want[]); a
 * disk's is quickmig-gate (gate[]), and what its guest writes: src/gate. */
#define WANTED \
    (lun == VAULT -> want[me] : \
     (gate[AT(lun, me)] == G_ACQUIRE || RECONNECTING(gate[AT(lun, me)]) -> \
      gate[AT(lun, me)] : 0))

#define BUSY busy[AT(lun, me)]

proctype Nexus(byte me; byte lun)
{
    byte got;

end:
    do
    ::  d_step {
            WANTED != 0 && BUSY == 0;
            BUSY = WANTED;
            got = YES;
            if
            :: cut[me] -> got = AWAY
            :: !cut[me] && STEP(RIGHT_AFTER_LOOK) -> log_in(lun)
            :: !cut[me] && !STEP(RIGHT_AFTER_LOOK) && !RIGHT -> got = REFUSED
            :: else
            fi
        }
        if
        :: got == YES && !STEP(RIGHT_AFTER_LOOK) -> d_step { log_in(lun) }
        :: got == YES && STEP(RIGHT_AFTER_LOOK) ->
            /* Step 3. */
            d_step {
                if
                :: cut[me] -> leave_lun(lun, me); got = AWAY
                :: !cut[me] && !RIGHT ->
                    leave_lun(lun, me);
                    got = REFUSED
                :: !cut[me] && !STEP(READ_AGAIN) && lun == VAULT && RIGHT ->
                    read_state[me] = rec_state;
                    read_owner[me] = OWNER_SEEN
                :: else
                fi
            }
        :: else
        fi;
        if
        :: got == YES -> d_step { swap(lun) }
        :: else
        fi;
        if
        :: got == YES && (STEP(LUN_RESET) || lio) -> d_step { reset(lun) }
        :: else
        fi;
        atomic {
            if
            :: got == YES -> d_step { verify(lun) }
            :: else
            fi;
            if
            :: WANTED != BUSY -> /* ended, or begun anew, meanwhile */
                if
                :: WANTED == 0 && gate[AT(lun, me)] == G_NONE ->
                    leave_lun(lun, me)
                :: else
                fi
            :: WANTED == BUSY && got == YES && lun == VAULT ->
                /* Step 7: the record is read again. */
                if
                :: RIGHT || !STEP(READ_AGAIN) -> answer[me] = YES
                :: else -> leave_lun(VAULT, me); answer[me] = REFUSED
                fi;
                want[me] = 0
            :: WANTED == BUSY && got == YES && lun != VAULT ->
                gate[AT(lun, me)] = (BUSY == G_RE_OPEN -> G_OPEN : G_HOLD)
            :: WANTED == BUSY && (got == RACED || got == LOST ||
                                 (got == AWAY && lun != VAULT)) ->
                skip /* tries again */
            :: WANTED == BUSY && got != YES && (!last_phase || got == REFUSED ||
                                               got == AWAY) ->
                leave_lun(lun, me);
                if
                :: lun == VAULT -> answer[me] = got; want[me] = 0
                :: lun != VAULT && BUSY == G_ACQUIRE ->
                    gate[AT(lun, me)] = G_NONE
                :: lun != VAULT && BUSY != G_ACQUIRE ->
                    gate[AT(lun, me)] = G_FENCED
                fi
            fi;
            got = 0;
            BUSY = 0
        }
    ::  atomic {
            dom[me] == RUNS && gate[AT(lun, me)] == G_OPEN &&
            ses[AT(lun, me)] != NO && late[lun] != me && !cut[me];
            if
            :: d_step { land(lun, me) }
            :: lates > 0 && late[lun] == 0 ->
                printf("n%d        a write to disk %d waits in the target\n",
                       me, lun);
                lates--;
                late[lun] = me;
                barred[lun] = 0
            fi
        }
    ::  atomic {
            OWNS(gate[AT(lun, me)]) && ses[AT(lun, me)] == NO && !cut[me];
            printf("n%d        the gate of disk %d is fenced\n", me, lun);
            assert(!MINE || rec_gen != gate_gen[me]); /* Invariant 6. */
            gate[AT(lun, me)] = G_FENCED
        }
    ::  d_step {
            gate[AT(lun, me)] == G_FENCED && dom[me] != NONE;
            printf("n%d        a fenced gate kills QEMU\n", me);
            if
            :: dom[me] == RUNS || dom[me] == PAUSED -> no_memory = 1
            :: else
            fi;
            dom[me] = NONE;
            loaded[me] = 0;
            fresh[me] = 0
        }
    od
}

/* --- faults -------------------------------------------------------------- */

inline lose_session(l, n)
{
    leave_lun(l, n);
    if
    :: l != VAULT && gate[AT(l, n)] == G_HOLD -> gate[AT(l, n)] = G_RE_HOLD
    :: l != VAULT && gate[AT(l, n)] == G_OPEN -> gate[AT(l, n)] = G_RE_OPEN
    :: else
    fi
}

inline guest_dies(n)
{
    if
    :: dom[n] == RUNS || dom[n] == PAUSED -> no_memory = 1
    :: else
    fi;
    dom[n] = NONE;
    loaded[n] = 0;
    fresh[n] = 0
}

inline node_dies(n)
{
    printf("n%d **** dies\n", n);
    guest_dies(n);
    up[n] = 0;
    cut[n] = 0;
    marker[n] = 0;
    tomb[n] = 0;
    note[n] = 0;
    hint[n] = 0;
    gate_gen[n] = 0;
    want[n] = 0;
    want_image[n] = 0;
    answer[n] = 0;
    leave_lun(VAULT, n);
    for (k : 1 .. disks) {
        gate[AT(k, n)] = G_NONE;
        leave_lun(k, n)
    }
    kill_agent[n] = (cmd[n] != 0);
    kill_worker[n] = (lock[n] == WORKER)
}

#define DEAD_AND_CLEAN(n) \
    (!up[n] && cmd[n] == 0 && lock[n] == FREE && !kill_agent[n] && !kill_worker[n] && \
     busy[AT(0, n)] == 0 && busy[AT(1, n)] == 0 && busy[AT(2, n)] == 0)

proctype Faults()
{
    byte n;

end:
    do
    ::  atomic {
            !last_phase && (crashes > 0 || reboots > 0 || kills > 0 ||
            drops > 0 || cuts > 0 || splits > 0 || lies > 0 || !member[1] ||
            !member[2] || !member[nodes] || cut[1] || cut[2] || cut[3] || !up[1] || !up[2] || !up[nodes]);
            if
            :: n = 1
            :: n = 2
            :: nodes > 2 -> n = 3
            fi;
            if
            :: crashes > 0 && up[n] ->
                crashes--;
                d_step { node_dies(n) }
            :: crashes > 0 && dom[n] == RUNS ->
                crashes--;
                printf("n%d **** QEMU dies\n", n);
                d_step { guest_dies(n) }
            :: !up[n] && member[n] -> member[n] = 0
            :: !up[n] && fenced[n] != 2 ->
                printf("n%d **** fenced\n", n);
                fenced[n] = 2
            :: reboots > 0 && DEAD_AND_CLEAN(n) ->
                printf("n%d **** boots\n", n);
                reboots--;
                up[n] = 1;
                member[n] = 1;
                boot[n]++;
                if
                :: fenced[n] == 1 -> fenced[n] = 0
                :: else
                fi
            :: kills > 0 && cmd[n] != 0 && !kill_agent[n] ->
                kills--;
                kill_agent[n] = 1
            :: kills > 0 && lock[n] == WORKER && !kill_worker[n] ->
                kills--;
                kill_worker[n] = 1
            :: drops > 0 && up[n] && ses[AT(VAULT, n)] != NO ->
                drops--;
                printf("n%d **** its session with the vault breaks\n", n);
                d_step { leave_lun(VAULT, n) }
            :: drops > 0 && up[n] && OWNS(gate[AT(1, n)]) ->
                drops--;
                printf("n%d **** its session with disk 1 breaks\n", n);
                d_step { lose_session(1, n) }
            :: cuts > 0 && up[n] && !cut[n] ->
                cuts--;
                printf("n%d **** loses its path to the storage\n", n);
                d_step {
                    cut[n] = 1;
                    for (k : 0 .. disks) {
                        lose_session(k, n)
                    }
                    k = 0
                }
            :: cut[n] -> cut[n] = 0
            :: splits > 0 && up[n] && member[n] ->
                splits--;
                printf("n%d **** is not heard any more\n", n);
                member[n] = 0
            :: up[n] && !member[n] ->
                member[n] = 1; /* it is heard again */
                if
                :: fenced[n] == 1 -> fenced[n] = 0
                :: else
                fi
            :: lies > 0 && up[n] && fenced[n] != 2 ->
                lies--;
                printf("n%d **** fencing is reported that did not happen\n", n);
                lied = 1;
                fenced[n] = 2
            :: else
            fi;
            n = 0
        }
    ::  atomic {
            late[0] != 0 || late[1] != 0 || late[2] != 0;
            if
            :: late[0] != 0 -> d_step { carry_out_late(0) }
            :: late[1] != 0 -> d_step { carry_out_late(1) }
            :: late[2] != 0 -> d_step { carry_out_late(2) }
            fi
        }
    ::  d_step {
            restarts > 0 && !last_phase;
            printf("   **** the target restarts\n");
            restarts--;
            for (n : 0 .. disks) {
                hold[n] = 0;
                if
                :: unflushed[n] ->
                    unflushed[n] = 0;
                    im_fresh = 0;
                    for (k : 1 .. nodes) {
                        fresh[k] = (dom[k] == LOADED -> 0 : fresh[k])
                    }
                :: else
                fi
            }
            forget_pending();
            late[1] = 0;
            late[2] = 0;
            barred[1] = 0;
            barred[2] = 0;
            for (n : 1 .. nodes) {
                lose_session(0, n);
                lose_session(1, n);
                lose_session(2, n)
            }
            n = 0
        }
    od
}

/* --- Pacemaker ----------------------------------------------------------- */

#define MOVES_TO(n) \
    ((cmd[1] == TO && cmd_target[1] == n) || \
     (cmd[2] == TO && cmd_target[2] == n) || \
     (cmd[3] == TO && cmd_target[3] == n))
#define MAY(action) (asks == 0 || (asks & (1 << action)) != 0)
#define CAN(n) (up[n] && cmd[n] == 0 && !kill_agent[n])
#define QUIET \
    (cmd[1] == 0 && cmd[2] == 0 && cmd[3] == 0 && !kill_worker[1] && \
     !kill_worker[2] && !kill_worker[3])

inline ask(n, what, whom)
{
    res[n] = 0;
    cmd_target[n] = whom;
    cmd[n] = what
}

/* It may ask anything of any node at any time, but for what it never does:
 * two things of one node at once; anything but a stop of a node that lost the
 * others; a stop on a move's target while migrate_to runs. */
proctype Pacemaker()
{
    byte n, m;

end:
    do
    ::  atomic {
            actions > 0 && (CAN(1) || CAN(2) || CAN(3));
            actions--;
            if
            :: CAN(1) -> n = 1
            :: CAN(2) -> n = 2
            :: CAN(3) -> n = 3
            fi;
            if
            :: n != 1 && member[1] && cmd[1] == 0 -> m = 1
            :: n != 2 && member[2] && cmd[2] == 0 -> m = 2
            :: n != 3 && member[3] && cmd[3] == 0 -> m = 3
            :: else -> m = 0
            fi;
            if
            :: member[n] && dom[n] != RUNS && MAY(START) ->
                stopped[n] = 0;
                ask(n, START, 0)
            :: !MOVES_TO(n) && MAY(STOP) -> ask(n, STOP, 0)
            :: member[n] && dom[n] != NONE && m != 0 && MAY(TO) ->
                stopped[n] = 0;
                stopped[m] = 0;
                ask(n, TO, m)
            :: member[n] && dom[n] != RUNS && MAY(FROM) ->
                stopped[n] = 0;
                ask(n, FROM, 0)
            :: member[n] && MAY(LOOK) -> ask(n, LOOK, 0)
            :: true -> skip
            fi;
            n = 0;
            m = 0
        }
    ::  ending -> break
    od;

    /* Invariant 5: whatever happened, when it is over, a stop everywhere and a
     * start anywhere must give a running VM. */
    QUIET;
    d_step {
        last_phase = 1;
        actions = 0;
        crashes = 0;
        reboots = 0;
        kills = 0;
        lates = 0;
        drops = 0;
        restarts = 0;
        cuts = 0;
        splits = 0;
        lies = 0;
        fails = 0;
        bads = 0
    }
    n = 1;
    do
    :: n > nodes -> break
    :: n <= nodes ->
        d_step {
            if
            :: up[n] && (cut[n] || !member[n] || fenced[n] == 2) ->
                node_dies(n)
            :: else
            fi
        }
        atomic {
            if
            :: !up[n] -> member[n] = 0; fenced[n] = 2
            :: else -> ask(n, STOP, 0)
            fi
        }
        atomic {
            cmd[n] == 0 && !kill_agent[n] && !kill_worker[n];
            if
            :: up[n] && res[n] != DONE -> d_step { node_dies(n) }; member[n] = 0; fenced[n] = 2
            :: else
            fi;
            res[n] = 0
        }
        n++
    od;
    atomic {
        QUIET;
        if
        :: up[1] -> n = 1
        :: up[2] -> n = 2
        :: up[nodes] -> n = nodes
        :: !up[1] && !up[2] && !up[nodes] -> goto over
        fi;
        stopped[n] = 0;
        ask(n, START, 0)
    }
    atomic {
        cmd[n] == 0;
        assert(res[n] == DONE && dom[n] == RUNS && gate[AT(1, n)] == G_OPEN)
    }
over:
    skip
}
