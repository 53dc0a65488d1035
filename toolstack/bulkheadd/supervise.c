// SPDX-License-Identifier: Apache-2.0
//
// What happens to each domain, and when. supervise_look goes over all of them in the order of the
// launch configuration; each phase has its function, which looks and, when it is over, enters the
// next. It is called when xenstore tells of a domain's end, when a worker has ended, and when time
// has passed; nothing depends on which of these it was. An end is handled in one place (ended),
// which goes by the domain's policy: restarts become slower, and stop when there were too many.
#include "bulkheadd.h"

#include <toolstack/device.h>
#include <toolstack/memory.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <xen/sched.h>

enum {
    LOOK_MILLISECONDS = 1000,
    HEALING_MILLISECONDS = 100, // while clients wait
    PAUSE_MAX_MILLISECONDS = 60000,
    STATE_CONNECTED = 4,
};

// Whose doing an end was, as far as policies are concerned.
enum end { END_BY_WILL, END_BY_FAILURE };

const char *phase_word(enum phase phase)
{
    static const char *const words[] = {
#define X(name, word) [PHASE_##name] = (word),
        PHASES(X)
#undef X
    };

    return words[phase];
}

static void enter(struct supervised *domain, enum phase phase)
{
    domain->phase = phase;
    domain->since = loop_now();
    if (phase == PHASE_HEALING || phase == PHASE_READY)
        domain->beat_at = domain->since;
    if (phase == PHASE_FAILED || phase == PHASE_PAUSING || phase == PHASE_STOPPED)
        printf("%s: %s: %s\n", domain->launch->name, phase_word(phase), domain->reason);
    else
        printf("%s: %s\n", domain->launch->name, phase_word(phase));
    publish(domain);
}

static void worker_ended(void *context);

static void give_work(struct supervised *domain, bool build)
{
    struct error *error = worker_start(domain, build);

    if (!error) {
        loop_add(&domain->supervisor->loop, domain->worker, worker_ended, domain);
        enter(domain, build ? PHASE_BUILDING : PHASE_ENDING);
        return;
    }
    error_print(error, stderr, "bulkheadd: ");
    error_free(error);
    domain->retry_at = loop_now() + PAUSE_MAX_MILLISECONDS;
    enter(domain, PHASE_PAUSING);
}

// How many restarts there were within the time that counts; forgets older ones.
static size_t count_recent(struct supervised *domain)
{
    int64_t oldest = loop_now() - (int64_t)domain->launch->within * 1000;
    size_t kept = 0;

    for (size_t i = 0; i < domain->recent_count; i++)
        if (domain->recent[i] >= oldest)
            domain->recent[kept++] = domain->recent[i];
    domain->recent_count = kept;
    return kept;
}

// The first restart follows at once, the next after a second, and then each after twice the time.
static void restart(struct supervised *domain)
{
    size_t count = count_recent(domain);
    int64_t pause = count ? 1000ll << (count < 7 ? count - 1 : 6) : 0;

    if (count >= domain->launch->restarts) {
        char *reason = memory_format("restarted %zu times within %lu s, the last time because %s",
                                     count, domain->launch->within, domain->reason);

        free(domain->reason);
        domain->reason = reason;
        enter(domain, PHASE_FAILED);
        return;
    }
    domain->recent = memory_resized(domain->recent, count + 1, sizeof(*domain->recent));
    domain->recent[domain->recent_count++] = loop_now();
    domain->restarts++;
    domain->retry_at =
        loop_now() + (pause < PAUSE_MAX_MILLISECONDS ? pause : PAUSE_MAX_MILLISECONDS);
    enter(domain, PHASE_PAUSING);
}

// The domain has ended, or has to; the reason is taken over.
static void ended(struct supervised *domain, enum end end, char *reason)
{
    enum restart_policy policy = domain->launch->restart;

    free(domain->reason);
    domain->reason = reason;
    if (!domain->down_at)
        domain->down_at = loop_now();
    if (policy == RESTART_ALWAYS || (policy == RESTART_ON_FAILURE && end == END_BY_FAILURE))
        restart(domain);
    else
        give_work(domain, false);
}

static void worker_ended(void *context)
{
    struct supervised *domain = context;
    char *message = NULL;

    loop_remove(&domain->supervisor->loop, domain->worker);
    bool worked = worker_result(domain, &domain->domid, &message);

    if (domain->phase == PHASE_ENDING)
        enter(domain, PHASE_STOPPED);
    else if (worked)
        enter(domain, PHASE_BOOTING);
    else
        ended(domain, END_BY_FAILURE, memory_format("it could not be built: %s", message));
    free(message);
}

// Whether it has ended; then that is dealt with.
static bool has_ended(struct supervised *domain)
{
    domain_info info;
    struct error *gone = domain_get_info(&domain->supervisor->toolstack, domain->domid, &info);

    if (gone || info.flags & XEN_DOMINF_dying) {
        error_ignore(gone);
        ended(domain, END_BY_WILL, memory_copy_text("it was destroyed"));
        return true;
    }
    int reason = domain_shutdown_reason(&info);

    if (reason < 0)
        return false;
    ended(domain, reason == SHUTDOWN_poweroff ? END_BY_WILL : END_BY_FAILURE,
          memory_format("it ended by itself (%s)", domain_shutdown_word(reason)));
    return true;
}

// Whether a driver domain that is to have a heartbeat has been silent for too long.
static bool is_hung(struct supervised *domain)
{
    uint64_t limit = domain->launch->heartbeat;
    long beat =
        store_read_number(domain->supervisor->toolstack.store, 0, DEVICE_HEARTBEAT, domain->domid);

    if (beat != domain->beat || !limit) {
        domain->beat = beat;
        domain->beat_at = loop_now();
    }
    if (loop_now() - domain->beat_at <= (int64_t)limit * 1000)
        return false;
    ended(domain, END_BY_FAILURE, memory_format("it was silent for more than %lu s", limit));
    return true;
}

static bool is_connected(struct store *store, const struct device_entry *entry)
{
    long frontend = store_read_number(store, 0, "%s/state", entry->frontend_path);
    long backend = store_read_number(store, 0, "%s/state", entry->backend_path);

    // A frontend that is not connected itself is not waited for.
    return frontend != STATE_CONNECTED || backend == STATE_CONNECTED;
}

static bool clients_are_served(struct supervised *domain)
{
    struct toolstack *toolstack = &domain->supervisor->toolstack;
    struct device_entry *entries;
    size_t count;
    bool served = true;
    struct error *error = device_list_served(toolstack, domain->domid, &entries, &count);

    for (size_t i = 0; i < count && served; i++)
        served = is_connected(toolstack->store, &entries[i]);
    device_list_free(entries, count);
    error_ignore(error);
    return served && !error;
}

static bool may_start(const struct supervised *domain)
{
    const struct supervised *all = domain->supervisor->domains;

    for (size_t i = 0; i < domain->launch->after_count; i++)
        if (all[domain->launch->after[i]].phase != PHASE_READY)
            return false;
    return true;
}

static void look_at_booting(struct supervised *domain)
{
    bool drives = domain->launch->config.driver_domain;
    long beat =
        store_read_number(domain->supervisor->toolstack.store, 0, DEVICE_HEARTBEAT, domain->domid);

    if (has_ended(domain))
        return;
    if (!drives || beat > 0)
        enter(domain, domain->down_at ? PHASE_HEALING : PHASE_READY);
    else if (loop_now() - domain->since > (int64_t)domain->launch->ready * 1000)
        ended(domain, END_BY_FAILURE,
              memory_format("it was not ready after %lu s", domain->launch->ready));
}

static void look_at_healing(struct supervised *domain)
{
    if (has_ended(domain) || is_hung(domain))
        return;
    if (clients_are_served(domain)) {
        domain->outage = (long)(loop_now() - domain->down_at);
        domain->down_at = 0;
        printf("%s: back after %ld ms\n", domain->launch->name, domain->outage);
        enter(domain, PHASE_READY);
    } else if (loop_now() - domain->since > (int64_t)domain->launch->ready * 1000) {
        ended(domain, END_BY_FAILURE,
              memory_format("its clients were not connected after %lu s", domain->launch->ready));
    }
}

static void look_at(struct supervised *domain)
{
    switch (domain->phase) {
    case PHASE_WAITING:
        if (may_start(domain))
            give_work(domain, true);
        break;
    case PHASE_PAUSING:
        if (loop_now() >= domain->retry_at)
            give_work(domain, true);
        break;
    case PHASE_BOOTING:
        look_at_booting(domain);
        break;
    case PHASE_HEALING:
        look_at_healing(domain);
        break;
    case PHASE_READY:
        if (!has_ended(domain))
            is_hung(domain);
        break;
    case PHASE_BUILDING:
    case PHASE_ENDING:
    case PHASE_STOPPED:
    case PHASE_FAILED:
        break;
    }
}

static long next_look(const struct supervised *domain)
{
    int64_t left = domain->retry_at - loop_now();

    switch (domain->phase) {
    case PHASE_HEALING:
    case PHASE_BOOTING:
        return HEALING_MILLISECONDS;
    case PHASE_PAUSING:
        return left < 0 ? 0 : (long)left;
    default:
        return LOOK_MILLISECONDS;
    }
}

long supervise_look(struct supervisor *supervisor)
{
    long next = LOOK_MILLISECONDS;

    for (size_t i = 0; i < supervisor->count; i++)
        look_at(&supervisor->domains[i]);
    for (size_t i = 0; i < supervisor->count; i++) {
        long milliseconds = next_look(&supervisor->domains[i]);

        next = milliseconds < next ? milliseconds : next;
    }
    return next;
}

struct error *supervise_begin(struct supervisor *supervisor)
{
    struct launch *launch = &supervisor->launch;

    char pid[16];

    snprintf(pid, sizeof(pid), "%ld", (long)getpid());
    TRY(store_remove(supervisor->toolstack.store, STATUS_PATH));
    TRY(store_write(supervisor->toolstack.store, pid, STATUS_PATH "/pid"));
    supervisor->count = launch->count;
    supervisor->domains = memory_zeroed(launch->count * sizeof(*supervisor->domains));
    for (size_t i = 0; i < launch->count; i++) {
        struct supervised *domain = &supervisor->domains[i];

        domain->supervisor = supervisor;
        domain->launch = &launch->domains[i];
        domain->worker = -1;
        domain->outage = -1;
        bool runs = domain_find_name(&supervisor->toolstack, domain->launch->name, &domain->domid);

        enter(domain, runs ? PHASE_BOOTING : PHASE_WAITING);
    }
    return NULL;
}

void supervise_end(struct supervisor *supervisor)
{
    for (size_t i = 0; i < supervisor->count; i++) {
        free(supervisor->domains[i].recent);
        free(supervisor->domains[i].reason);
    }
    free(supervisor->domains);
    supervisor->domains = NULL;
    supervisor->count = 0;
}
