// SPDX-License-Identifier: Apache-2.0
// The table of debug keys: filled at start-up, read-only afterwards, no lock.

#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/debug_key.h>
#include <bulkhead/domain.h>
#include <bulkhead/event_channel.h>
#include <bulkhead/grant_table.h>
#include <bulkhead/heap.h>
#include <bulkhead/page.h>
#include <bulkhead/sched.h>
#include <bulkhead/stretch.h>

static struct {
    const char *description;
    void (*fn)(void);
} keys[128];

void debug_key_register(char key, const char *description, void (*fn)(void))
{
    unsigned int index = (unsigned char)key;

    CHECK(index < ARRAY_SIZE(keys) && !keys[index].fn);
    keys[index].description = description;
    keys[index].fn = fn;
}

bool debug_key_handle(char key)
{
    unsigned int index = (unsigned char)key;

    if (index >= ARRAY_SIZE(keys) || !keys[index].fn) {
        return false;
    }
    log_error("'%c' pressed -> %s", key, keys[index].description);
    keys[index].fn();
    return true;
}

static void show_keys(void)
{
    for (unsigned int i = 0; i < ARRAY_SIZE(keys); i++) {
        if (keys[i].fn) {
            log_error(" key '%c' (ascii '%02x') => %s", (char)i, i, keys[i].description);
        }
    }
}

static void show_time(void)
{
    ns_t t = now();
    unsigned int cpu;

    log_error("System time: %ld.%09ld s", t / 1000000000, t % 1000000000);
    for_each_cpu (cpu, &online_cpus) {
        const struct timer_queue *queue = &cpus[cpu]->timers;

        log_error("CPU%u: %u timers, next interrupt at %ld, idle for %ld ns in all", cpu,
                  queue->count, queue->programmed, cpus[cpu]->idle_total);
    }
}

static void for_all_domains(void (*show)(struct domain *d))
{
    struct domain *d = domain_next(0);

    while (d) {
        unsigned int next = d->id + 1u;

        show(d);
        domain_put(d);
        d = domain_next((domid_t)next);
    }
}

static void show_domain(struct domain *d)
{
    struct vcpu *v;
    unsigned int i;

    log_error("d%u: %lu of %lu pages, %d references, pause count %d%s%s%s", d->id, d->total_pages,
              d->max_pages, __atomic_load_n(&d->references, __ATOMIC_RELAXED), d->pause_count,
              d->privileged ? ", privileged" : "", d->is_shut_down ? ", shut down" : "",
              d->is_dying ? ", dying" : "");
    for_each_vcpu (v, d, i) {
        log_error("  v%u: CPU%u%s, pause flags %x, pause count %d, %lu exits, events %s", v->id,
                  v->cpu, v->running ? " running" : "", v->pause_flags, v->pause_count, v->exits,
                  event_pending(v) ? "pending" : "none");
    }
}

static void show_domains(void)
{
    for_all_domains(show_domain);
}

static void show_domain_memory(struct domain *d)
{
    log_error("  d%u: %lu pages, claim %lu, pages of second-level tables %lu", d->id,
              d->total_pages, d->outstanding_claim, p2m_table_pages(d));
}

static void show_memory(void)
{
    log_error("Frames: %lu in all, %lu free, of which %lu not cleaned yet; heap %lu",
              page_total_count(), page_free_count(), page_unscrubbed_count(), heap_pages_in_use());
    for_all_domains(show_domain_memory);
}

static void show_events(void)
{
    for_all_domains(event_dump);
}

static void show_grants(void)
{
    for_all_domains(grant_table_dump);
}

void debug_keys_init(void)
{
    debug_key_register('e', "show event channels", show_events);
    debug_key_register('g', "show grants in use", show_grants);
    debug_key_register('h', "show this list", show_keys);
    stretch_init();
    debug_key_register('m', "show the use of memory", show_memory);
    debug_key_register('q', "show domains and vcpus", show_domains);
    debug_key_register('r', "show the run queues", sched_dump);
    debug_key_register('t', "show time and timers", show_time);
    debug_key_register('R', "restart the machine", arch_restart_machine);
}
