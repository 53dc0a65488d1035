// SPDX-License-Identifier: Apache-2.0
//
// The supervisor. struct supervisor has a struct supervised for each domain of the launch
// configuration, which goes through enum phase. One thread, one event loop; what takes long
// (building and ending domains) is done by a process for each, the worker, of which a domain has at
// most one. What is known is published in xenstore, where bulkheadd status reads it.
#ifndef BULKHEADD_H
#define BULKHEADD_H

#include <toolstack/domain.h>
#include <toolstack/launch.h>
#include <toolstack/loop.h>

// How each phase is called in the status.
#define PHASES(X)                                                                                  \
    X(WAITING, "waiting")   /* for the domains that it comes after */                              \
    X(BUILDING, "building") /* a worker ends what is left of it and makes it */                    \
    X(BOOTING, "booting")   /* it runs and has not said that it is ready */                        \
    X(HEALING, "healing")   /* it is ready, and not all its clients are connected again */         \
    X(READY, "ready")                                                                              \
    X(PAUSING, "pausing") /* before it is built again */                                           \
    X(ENDING, "ending")   /* a worker ends what is left of it */                                   \
    X(STOPPED, "stopped") /* it has ended and is left so */                                        \
    X(FAILED, "failed")   /* it has ended too often */

enum phase {
#define X(name, word) PHASE_##name,
    PHASES(X)
#undef X
};

const char *phase_word(enum phase phase);

enum { RECENT_MAX = 1000 }; // as many restarts as a launch configuration may allow

struct supervised {
    struct supervisor *supervisor;
    struct launch_domain *launch;
    enum phase phase;
    int64_t since;      // when the phase began; times are loop_now's
    unsigned int domid; // kept over its deaths; 0: it never had one
    int worker;         // descriptor of the process
    int worker_pid;
    int worker_output;
    long beat; // what its heartbeat was last
    int64_t beat_at;
    int64_t down_at; // when it was found to have ended, until its clients are served again
    int64_t retry_at;
    int64_t *recent; // times of its last restarts
    size_t recent_count;
    unsigned long restarts;
    long outage;  // the last one, in milliseconds
    char *reason; // why it ended last, or could not be built
};

struct supervisor {
    struct toolstack toolstack;
    struct launch launch;
    struct loop loop;
    struct supervised *domains;
    size_t count;
};

#define STATUS_PATH "/tool/bulkheadd"

// Adopts the domains that run already and begins with the others. The launch configuration has been
// read and the toolstack opened.
struct error *supervise_begin(struct supervisor *supervisor) MUST_CHECK;

// Looks at everything once: who has ended, who is silent, who can be started. Returns after how
// many milliseconds to look again if nothing happens before.
long supervise_look(struct supervisor *supervisor);
void supervise_end(struct supervisor *supervisor);

// worker.c: starts a process that ends what there is of the domain and, if build, makes it and lets
// it run. worker_result is for when its descriptor can be read: true when it has worked; *domid is
// the new domain's, *message the reason when it has not. The caller frees *message.
struct error *worker_start(struct supervised *domain, bool build) MUST_CHECK;
bool worker_result(struct supervised *domain, unsigned int *domid, char **message);

// devices.c: finds the functions that each domain is to have, adds them to its configuration, and
// takes their drivers off. A function that two domains name is an error.
struct error *find_devices(struct toolstack *toolstack, struct launch *launch) MUST_CHECK;

// status.c
void publish(struct supervised *domain);
struct error *show_status(bool refreshing) MUST_CHECK;

#endif
