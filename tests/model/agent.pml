/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * A node's actions: src/lib/engine-*.c, and quickmigd's worker.  Each may be
 * killed before any of its steps (kill_agent, kill_worker); what it had
 * written stays, its sessions end.
 */

/* Who may take the vault. */
#define R_START   0
#define R_OWN     1
#define R_RECEIVE 2

/* Acquire of the vault: its nexus does it.  A lost race is tried again, for as
 * long as there is time. */
inline take_vault(kind, image)
{
    d_step {
        busy[AT(VAULT, me)] == 0; /* that of an action that was killed ends */
        want[me] = kind + 1;
        want_image[me] = image
    }
    d_step {
        want[me] == 0;
        got = answer[me];
        answer[me] = 0;
        want_image[me] = 0
    }
}

/* Decides on the record as it is and writes what comes next; only a node that
 * still holds the vault can, and then nobody has changed it since it was
 * read. */
inline decide_and_write(event)
{
    d_step {
        decide(event);
        act = a_action;
        if
        :: a_action == DO_RESTORE -> loaded[me] = rec_image
        :: else
        fi;
        if
        :: a_action == DO_REFUSE -> got = REFUSED
        :: a_action != DO_REFUSE && !a_writes -> got = YES
        :: a_action != DO_REFUSE && a_writes &&
           (cut[me] || ses[AT(VAULT, me)] == NO) ->
            got = LOST
        :: else ->
            n_owner = (a_takes -> me : rec_owner);
            n_boot = (a_takes -> boot[me] : rec_boot);
            n_gen = rec_gen + a_takes;
            n_image = rec_image + a_new_image;
            n_target = (a_new_image -> target : rec_target);
            n_failed = (a_new_image -> 0 : rec_failed);
            if
            :: a_to == RUNNING || a_to == OFF -> n_target = 0; n_failed = 0
            :: event == EV_RESTORE_FAILED -> n_failed = rec_failed + 1
            :: else
            fi;
            if
            :: a_action == DO_COLD_BOOT ->
                assert(!committed || im_failures >= 2); /* Invariant 4. */
                assert(no_memory || im_failures >= 2 || lied); /* Invariant 6. */
                committed = 0;
                no_memory = 1
            :: else
            fi;
            if
            :: slow ->
                printf("n%d        that write is late\n", me);
                lates--;
                late[VAULT] = me;
                barred[VAULT] = 0;
                p_state = a_to;
                p_owner = (a_to == OFF || a_to == SAVED -> 0 : n_owner);
                p_boot = n_boot;
                p_target = n_target;
                p_gen = n_gen;
                p_image = n_image;
                p_failed = n_failed;
                leave_lun(VAULT, me);
                got = LOST
            :: else ->
                store(a_to, n_owner, n_boot, n_target, n_gen, n_image,
                      n_failed);
                got = YES
            fi
        fi;
        slow = 0
    }
}

/* One transition: a write whose outcome is unknown is resolved only by
 * acquiring and reading again. */
inline transition(event, kind, image)
{
    do
    ::  atomic {
            if
            :: slow = 0
            :: lates > 0 && late[VAULT] == 0 -> slow = 1
            fi;
            decide_and_write(event)
        }
        if
        :: got == LOST && (STEP(ASK_UNKNOWN) || event != EV_COMMIT) ->
            take_vault(kind, image);
            if
            :: got == YES
            :: else -> break
            fi
        :: else -> break
        fi
    od
}

/* Destroys what is here, ends the gates. */
inline clear_here()
{
    printf("n%d        destroys its domain, ends its gates\n", me);
    dom[me] = NONE;
    loaded[me] = 0;
    fresh[me] = 0;
    for (k : 1 .. disks) {
        gate[AT(k, me)] = G_NONE;
        leave_lun(k, me)
    }
    gate_gen[me] = 0
}

/* Takes every disk for the record's generation. */
inline take_disks()
{
    atomic { lun = 1; got = YES }
    do
    :: lun > disks || got != YES -> break
    :: lun <= disks && got == YES ->
        d_step {
            busy[AT(lun, me)] == 0; /* a gate that was told to end has */
            gate[AT(lun, me)] = G_ACQUIRE;
            gate_gen[me] = rec_gen
        }
        if
        :: STEP(DISKS_FIRST) ->
            atomic {
                gate[AT(lun, me)] != G_ACQUIRE;
                if
                :: gate[AT(lun, me)] == G_HOLD ||
                   gate[AT(lun, me)] == G_RE_HOLD
                :: else -> got = FAILED
                fi
            }
        :: else
        fi;
        lun++
    od;
    lun = 0
}

inline open_gates()
{
    for (k : 1 .. disks) {
        if
        :: gate[AT(k, me)] == G_HOLD -> gate[AT(k, me)] = G_OPEN
        :: gate[AT(k, me)] == G_RE_HOLD -> gate[AT(k, me)] = G_RE_OPEN
        :: gate[AT(k, me)] == G_NONE || gate[AT(k, me)] == G_FENCED ->
            got = FAILED
        :: else
        fi
    }
    k = 0
}

/* A node that was wrongly taken for dead may start or keep a guest, as long as
 * this guest cannot write: its gates find that out within a second. */
#define SHUT(l, n) \
    (gate[AT(l, n)] != G_ACQUIRE && \
     (!OWNS(gate[AT(l, n)]) || ses[AT(l, n)] == NO))
#define LOCKED_OUT(n) (lied && SHUT(1, n) && SHUT(2, n))

/* The guest's CPUs start here. */
inline cpus_start()
{
    printf("n%d        GUEST RUNS HERE\n", me);
    for (k : 1 .. nodes) {
        assert(k == me || dom[k] != RUNS || LOCKED_OUT(k) ||
               LOCKED_OUT(me)); /* Invariant 1. */
    }
    assert(fresh[me] || LOCKED_OUT(me)); /* Invariant 2. */
    fresh[me] = (fresh[me] == 2 -> 1 : fresh[me]);
    no_memory = 0;
    dom[me] = RUNS
}

/* From "the image is loaded, paused" to "it runs here". */
inline take_over(kind, image)
{
    transition(EV_LOADED, kind, image);
    if
    :: got == YES -> take_disks()
    :: else
    fi;
    if
    :: got == YES ->
        atomic {
            if
            :: dom[me] == LOADED -> d_step { cpus_start() }
            :: else -> got = FAILED
            fi
        }
        if
        :: got == YES && !STEP(GATES_HOLD) -> d_step { open_gates() }
        :: else
        fi;
        if
        :: got == YES -> transition(EV_RESUMED, kind, image)
        :: else
        fi;
        if
        :: got == YES ->
            d_step {
                committed = 0;
                open_gates()
            }
        :: else
        fi
    :: else
    fi
}

proctype Agent(byte me)
{
    byte got, act, target, kind, lun;
    bit slow, unknown, corrupt;

end_wait:
    {
    atomic {
        cmd[me] != 0 && !kill_agent[me];
        target = cmd_target[me];
        printf("n%d ---- %d (1 start, 2 stop, 3 migrate_to, 4 migrate_from, 5 monitor)\n",
               me, cmd[me]);
        if
        :: lock[me] == WORKER && cmd[me] == LOOK -> got = YES; goto done
        :: lock[me] == WORKER && cmd[me] == FROM
        :: lock[me] == WORKER && cmd[me] != LOOK ->
            kill_worker[me] = 1
        :: else
        fi
    }
    atomic {
        lock[me] == FREE && !kill_worker[me];
        lock[me] = AGENT;
        if
        :: cmd[me] == START || cmd[me] == FROM || cmd[me] == TO ->
            marker[me] = 1
        :: else
        fi;
        if
        :: cut[me] && cmd[me] == STOP -> goto blind
        :: cut[me] && cmd[me] != STOP -> got = AWAY; goto done
        :: else
        fi;
        if
        :: cmd[me] == START -> goto start
        :: cmd[me] == FROM ->
            if
            :: rec_state != SAVED && rec_owner != me ->
                got = REFUSED;
                goto done
            :: else -> goto start
            fi
        :: cmd[me] == STOP -> goto stop
        :: cmd[me] == TO -> goto move
        :: cmd[me] == LOOK -> goto look
        fi
    }

    /* --- start, migrate_from: engine-start.c ----------------------------- */
start:
    atomic {
        kind = R_START;
        if
        :: rec_state == RUNNING && MINE && dom[me] == RUNS ->
            got = YES;
            d_step { open_gates() };
            goto done
        :: else
        fi
    }
    take_vault(R_START, 0);
    if
    :: got != YES -> goto done
    :: else
    fi;
run_here:
    skip;
    d_step {
        decide(EV_START);
        if
        :: (a_action == DO_COLD_BOOT || a_action == DO_RESTORE) ->
            if
            :: dom[me] == RUNS || dom[me] == PAUSED -> no_memory = 1
            :: else
            fi;
            if
            :: STEP(CLEAR_BEFORE) -> clear_here()
            :: else
            fi;
            note[me] = UNKNOWN
        :: else
        fi
    }
    transition(EV_START, R_START, 0);
    if
    :: got != YES -> goto done
    :: got == YES && act == DO_COLD_BOOT -> goto boot_here
    :: got == YES && act == DO_RESTORE -> goto restore
    :: got == YES && act == DO_RESUME -> goto resume
    :: got == YES && act == DO_OPEN_GATES ->
        d_step { open_gates() };
        goto done
    :: else -> goto run_here
    fi;
boot_here:
    skip;
    d_step { /* made while nothing was owned, of raw disks only: QEMU reads nothing
              * of them before its CPUs run; engine-early.c */
        note[me] = rec_gen + 2;
        dom[me] = PAUSED;
        fresh[me] = 2
    }
    take_disks();
    if
    :: got == YES ->
        d_step {
            cpus_start();
            open_gates()
        }
    :: else
    fi;
    goto done;
restore:
    atomic {
        if
        :: cut[me] -> got = AWAY; goto done
        :: !cut[me] && im_last && im_id == loaded[me] ->
            dom[me] = LOADED;
            fresh[me] = im_fresh
        :: !cut[me] && !(im_last && im_id == loaded[me]) ->
            /* Invariant 4: what was committed can be read. */
            assert(!committed || rec_image != loaded[me]);
            corrupt = 1;
            goto restore_failed
        :: bads > 0 ->
            bads--;
            im_failures++;
            goto restore_failed
        fi
    }
    goto restored;
restore_failed:
    transition(EV_RESTORE_FAILED, R_START, 0);
    if
    :: got == YES && corrupt && rec_failed < 2 -> goto restore_failed
    :: got == YES && (rec_failed >= 2 || last_phase) ->
        corrupt = 0;
        goto run_here
    :: else -> goto done
    fi;
restored:
    take_over(R_START, 0);
    if
    :: got == YES -> note[me] = rec_gen + 2
    :: else
    fi;
    goto done;
resume:
    /* Paused here, and the record says RUNNING: its save was given up, or its
     * boot was cut off before it had its disks. */
    if
    :: gate[AT(1, me)] == G_NONE -> take_disks()
    :: else -> got = YES
    fi;
    d_step {
        if
        :: got == YES -> open_gates()
        :: else
        fi;
        if
        :: got == YES && dom[me] == PAUSED -> cpus_start()
        :: got == YES && dom[me] == NONE -> got = FAILED
        :: else
        fi
    }
    goto done;

    /* --- stop: engine-stop.c --------------------------------------------- */
stop:
    atomic {
        tomb[me] = rec_image;
        kind = R_OWN;
        if
        :: OTHERS || (UNOWNED && STEP(STOP_BARRIER) && !marker[me] &&
                      hold[VAULT] != me) || (UNOWNED && !STEP(STOP_BARRIER)) ->
            d_step { clear_here() };
            got = YES;
            goto done
        :: else
        fi
    }
    take_vault(R_OWN, 0);
    if
    :: got != YES -> goto blind
    :: else
    fi;
    d_step {
        decide(EV_STOP);
        if
        :: a_action == DO_DESTROY_FIRST && STEP(DESTROY_BEFORE) ->
            if
            :: dom[me] == RUNS || dom[me] == PAUSED -> no_memory = 1
            :: else
            fi;
            clear_here()
        :: else
        fi
    }
    transition(EV_STOP, R_OWN, 0);
    if
    :: got != YES -> goto blind
    :: got == YES && act == DO_POWER_DOWN -> goto save
    :: else -> d_step { clear_here() }; goto done
    fi;
power_off:
    skip;
    d_step {
        no_memory = 1;
        clear_here()
    }
    transition(EV_POWERED_OFF, R_OWN, 0);
    if
    :: got != YES -> goto blind
    :: else -> goto done
    fi;
blind:
    /* Without the vault: engine-blind.c. */
    skip;
    d_step {
        unknown = 1;
        if
        :: note[me] == NO_NOTE && MINE && !cut[me] -> got = FAILED
        :: note[me] == UNKNOWN -> got = FAILED; no_memory = 1; clear_here()
        :: else ->
            if
            :: dom[me] != NONE -> no_memory = 1
            :: else
            fi;
            clear_here();
            if
            :: note[me] >= 2 ->
                printf("n%d        publishes: released generation %d\n", me,
                       note[me] - 2);
                released[me] = note[me] - 2
            :: else
            fi;
            got = YES
        fi
    }
    goto done;

    /* --- monitor: engine-monitor.c --------------------------------------- */
look:
    skip;
    d_step {
        kind = R_OWN;
        decide(EV_PROBE);
        act = a_action;
        got = (a_action == DO_REFUSE -> REFUSED : YES);
        slow = (a_writes && a_action != DO_REFUSE) /* for now: it must write */
    }
    if
    :: slow -> slow = 0
    :: else ->
        d_step {
            if
            :: act == DO_DESTROY -> clear_here()
            :: else
            fi
        }
        goto done
    fi;
    take_vault(R_OWN, 0);
    if
    :: got == YES -> transition(EV_PROBE, R_OWN, 0)
    :: else
    fi;
    if
    :: got == YES && act == DO_DESTROY -> d_step { clear_here() }
    :: else
    fi;
    goto done;

    /* --- migrate_to: engine-move.c, engine-save.c, engine-stream.c -------- */
move:
    atomic {
        kind = R_OWN;
        d_step {
            decide(EV_MOVE);
            act = a_action
        }
        if
        :: act == DO_REFUSE -> got = REFUSED; goto done
        :: act == DO_DESTROY -> d_step { clear_here() }; got = YES; goto done
        :: else
        fi;
        if
        :: !member[target] || !(gate[AT(1, me)] == G_OPEN ||
                                gate[AT(1, me)] == G_RE_OPEN) ->
            got = REFUSED;
            goto done
        :: else -> hint[target] = rec_image + 1
        fi
    }
    take_vault(R_OWN, 0);
    if
    :: got != YES -> goto done
    :: else
    fi;
save:
    transition(EV_MOVE, R_OWN, 0);
    if
    :: got == YES && act == DO_SAVE
    :: got == YES && act != DO_SAVE -> goto leave
    :: got != YES && cmd[me] == STOP -> goto blind
    :: got != YES && cmd[me] != STOP -> goto done
    fi;
    /* The image begins.  The guest runs on, or not: live, or quick. */
    atomic {
        if
        :: cut[me] || ses[AT(VAULT, me)] == NO -> goto save_failed
        :: else ->
            assert(!committed); /* Invariant 4. */
            im_id = rec_image;
            im_last = 0;
            im_fresh = 0;
            im_failures = 0
        fi
    }
    if
    :: STEP(LAST_AFTER_PAUSE)
    :: else -> goto last
    fi;
pause:
    /* QEMU pauses when its requests are answered. */
    atomic {
        dom[me] == NONE || gate[AT(1, me)] == G_NONE ||
        gate[AT(1, me)] == G_FENCED || gate[AT(disks, me)] == G_NONE ||
        gate[AT(disks, me)] == G_FENCED ||
        (late[1] != me && late[disks] != me && OWNS(gate[AT(1, me)]) &&
         OWNS(gate[AT(disks, me)])) || fails > 0;
        if
        :: dom[me] == NONE || !OWNS(gate[AT(1, me)]) ||
           !OWNS(gate[AT(disks, me)]) ->
            goto save_failed
        :: fails > 0 -> fails--; goto save_failed
        :: dom[me] != NONE && late[1] != me && late[disks] != me &&
           OWNS(gate[AT(1, me)]) && OWNS(gate[AT(disks, me)]) ->
            printf("n%d        the guest is paused\n", me);
            dom[me] = (STEP(KEEP_MEMORY) -> PAUSED : NONE)
        fi
    }
    /* Its disks are flushed. */
    atomic {
        if
        :: !OWNS(gate[AT(1, me)]) || !OWNS(gate[AT(disks, me)]) ->
            goto save_failed
        :: else ->
            d_step {
                for (k : 1 .. disks) {
                    gate[AT(k, me)] = G_HOLD;
                    if
                    :: STEP(FLUSH) -> unflushed[k] = 0
                    :: else
                    fi
                }
            }
        fi
    }
    if
    :: !STEP(LAST_AFTER_PAUSE) || !STEP(LAST_AT_COMMIT) -> goto commit
    :: else
    fi;
last:
    atomic {
        if
        :: cut[me] || ses[AT(VAULT, me)] == NO ||
           (dom[me] == NONE && STEP(KEEP_MEMORY)) ->
            goto save_failed
        :: fails > 0 -> fails--; goto save_failed
        :: !cut[me] && ses[AT(VAULT, me)] != NO &&
           (dom[me] != NONE || !STEP(KEEP_MEMORY)) ->
            if
            ::  printf("n%d        writes LAST\n", me);
                im_last = 1;
                im_fresh = (fresh[me] != 0)
            :: lates > 0 && late[VAULT] == 0 ->
                printf("n%d        writes LAST, late\n", me);
                lates--;
                late[VAULT] = me;
                barred[VAULT] = 0;
                p_last = 1;
                p_image = im_id;
                im_fresh = (fresh[me] != 0);
                leave_lun(VAULT, me);
                goto save_failed
            fi
        fi
    }
    if
    :: !STEP(LAST_AFTER_PAUSE) && dom[me] == RUNS -> goto pause
    :: !STEP(LAST_AT_COMMIT) && rec_state != SAVING -> goto leave
    :: else
    fi;
commit:
    transition(EV_COMMIT, R_OWN, 0);
    if
    :: got == YES && STEP(LAST_AT_COMMIT) -> goto leave
    :: got == YES && !STEP(LAST_AT_COMMIT) -> goto last
    :: else -> goto save_failed
    fi;
leave:
    skip;
    d_step {
        clear_here();
        got = YES
    }
    goto done;
save_failed:
    if
    :: STEP(ROLLBACK_FIRST) && STEP(ASK_UNKNOWN)
    :: else ->
        /* The guest goes on before it is known what the record says. */
        d_step {
            if
            :: dom[me] == PAUSED ->
                got = YES;
                open_gates();
                cpus_start()
            :: else
            fi
        }
    fi;
    transition(EV_ROLLBACK, R_OWN, 0);
    atomic {
        if
        :: rec_state == SAVED && ses[AT(VAULT, me)] != NO -> goto leave
        :: got == YES && act == DO_RESUME ->
            d_step {
                open_gates();
                if
                :: got == YES && dom[me] == PAUSED -> cpus_start()
                :: else
                fi
            }
            got = FAILED
        :: else -> unknown = (got != YES) /* how it stands is not known */
        fi;
        if
        :: cmd[me] == STOP && unknown -> goto blind
        :: cmd[me] == STOP && !unknown && !UNOWNED -> goto power_off
        :: cmd[me] == STOP && !unknown && UNOWNED ->
            d_step { clear_here() };
            got = YES
        :: else -> got = FAILED
        fi
    }

done:
    skip;
    d_step {
        printf("n%d        ends: %d (1 success)\n", me, got);
        if
        :: got == YES ->
            marker[me] = 0;
            if
            :: cmd[me] == STOP ->
                assert(dom[me] == NONE);
                /* Nobody else has to ask this node any more. */
                assert(!MINE || released[me] == rec_gen || cut[me]);
                /* Without the vault it cannot leave a tombstone. */
                stopped[me] = !unknown;
                note[me] = NO_NOTE
            :: cmd[me] == TO -> note[me] = NO_NOTE
            :: cmd[me] == START || cmd[me] == FROM -> assert(dom[me] != NONE || !last_phase)
            :: else
            fi
        :: else
        fi;
        res[me] = (last_phase -> (got == YES -> DONE : FAILED) : 0);
        if
        :: lock[me] == AGENT ->
            lock[me] = FREE;
            leave_lun(VAULT, me)
        :: else
        fi;
        loaded[me] = (dom[me] == LOADED -> loaded[me] : 0);
        cmd[me] = 0;
        cmd_target[me] = 0;
        got = 0;
        act = 0;
        target = 0;
        kind = 0;
        corrupt = 0;
        unknown = 0
    }
    goto end_wait
    } unless {
        d_step {
            kill_agent[me];
            printf("n%d        that action is killed\n", me);
            kill_agent[me] = 0;
            leave_lun(VAULT, me);
            want[me] = 0;
            want_image[me] = 0;
            answer[me] = 0;
            if
            :: lock[me] == AGENT -> lock[me] = FREE
            :: else
            fi;
            cmd[me] = 0;
            cmd_target[me] = 0;
            res[me] = 0;
            got = 0;
            act = 0;
            target = 0;
            kind = 0;
            lun = 0;
            slow = 0;
            corrupt = 0;
            unknown = 0
        }
    };
    goto end_wait
}

/* quickmigd's worker: engine-receive.c. */
#define ABOUT (rec_image == image && (rec_state == SAVING || rec_state == SAVED) && \
               rec_target == me)

proctype Worker(byte me)
{
    byte got, act, target, kind, image, lun;
    bit slow;

end_wait:
    {
    atomic {
        hint[me] != 0 && lock[me] == FREE && !kill_worker[me] && up[me];
        lock[me] = WORKER;
        image = hint[me];
        hint[me] = 0;
        printf("n%d worker: receives image %d\n", me, image);
        if
        :: cut[me] || marker[me] || dom[me] != NONE ||
           (tomb[me] == image && STEP(TOMBSTONE)) ||
           !(ABOUT || (rec_image + 1 == image && rec_state == RUNNING)) ->
            goto done
        :: else -> note[me] = UNKNOWN
        fi
    }
    /* Follows the image; gives up at any time. */
    atomic {
        if
        :: ABOUT -> dom[me] = LOADED; loaded[me] = image
        :: goto drop
        fi
    }
    atomic {
        if
        :: rec_state == SAVED && (ABOUT || !STEP(WORKER_IMAGE)) ->
            fresh[me] = im_fresh && im_id == image;
            marker[me] = 1;
            kind = (STEP(WORKER_RIGHT) -> R_RECEIVE : R_START)
        :: goto drop
        fi
    }
    take_vault(kind, image);
    if
    :: got == YES && dom[me] == LOADED ->
        atomic { assert(!stopped[me]) /* a stop was final */ };
        take_over(kind, image);
        if
        :: got == YES ->
            d_step {
                marker[me] = 0;
                note[me] = rec_gen + 2
            }
        :: else
        fi
    :: got == YES && dom[me] != LOADED
    :: got != YES -> /* nothing was written: it only goes */
        d_step {
            clear_here();
            note[me] = NO_NOTE;
            marker[me] = 0
        }
    fi;
    goto done;
drop:
    skip;
    d_step {
        clear_here();
        note[me] = NO_NOTE
    }
done:
    skip;
    d_step {
        leave_lun(VAULT, me);
        lock[me] = FREE;
        image = 0;
        kind = 0;
        got = 0;
        act = 0
    }
    goto end_wait
    } unless {
        d_step {
            kill_worker[me];
            printf("n%d worker: killed\n", me);
            kill_worker[me] = 0;
            leave_lun(VAULT, me);
            want[me] = 0;
            want_image[me] = 0;
            answer[me] = 0;
            if
            :: lock[me] == WORKER -> lock[me] = FREE
            :: else
            fi;
            image = 0;
            kind = 0;
            got = 0;
            act = 0;
            lun = 0;
            slow = 0
        }
    };
    goto end_wait
}
