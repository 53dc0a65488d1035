// SPDX-License-Identifier: Apache-2.0
//
// The machine and the hypervisor: what they are, what is free, schedulers, processor pools, the
// hypervisor's log and its keys.
#ifndef TOOLSTACK_HOST_H
#define TOOLSTACK_HOST_H

#include <toolstack/domain.h>
#include <xen/version.h>

struct host_version {
    unsigned int major;
    unsigned int minor;
    xen_extraversion_t extra;
    xen_compile_info_t compile;
    xen_capabilities_info_t capabilities;
    xen_changeset_info_t changeset;
    unsigned long virtual_start;
    unsigned int page_size;
    xen_commandline_t command_line;
    char build_id[129]; // hexadecimal
};

struct error *host_get_version(struct toolstack *toolstack,
                               struct host_version *version) MUST_CHECK;

struct error *host_get_physical(struct toolstack *toolstack,
                                struct xen_sysctl_physinfo *physical) MUST_CHECK;

// The number of a scheduler (XEN_SCHEDULER_...) as a word, "unknown" if it has none here.
const char *host_scheduler_word(unsigned int scheduler);
struct error *host_get_scheduler(struct toolstack *toolstack, unsigned int *scheduler) MUST_CHECK;

// The hypervisor's log. The caller frees *log, which ends in a NUL.
struct error *host_read_log(struct toolstack *toolstack, bool clear, char **log) MUST_CHECK;
struct error *host_send_keys(struct toolstack *toolstack, const char *keys) MUST_CHECK;

// A set of processors: one bit each, as many as the machine can have. cpu_set_free frees it.
struct cpu_set {
    uint8_t *bits;
    unsigned int count; // processors that the set can hold
};

void cpu_set_make(struct cpu_set *set, unsigned int count);
void cpu_set_free(struct cpu_set *set);
bool cpu_set_has(const struct cpu_set *set, unsigned int cpu);
void cpu_set_add(struct cpu_set *set, unsigned int cpu);
bool cpu_set_is_full(const struct cpu_set *set);
bool cpu_set_is_empty(const struct cpu_set *set);

// "0-3,^2", "all", "none": numbers, ranges, and ^ for what is taken out again.
struct error *cpu_set_parse(struct cpu_set *set, const char *text) MUST_CHECK;

// The shortest such text, in ranges; "none" for an empty set, "all" for one that holds all of count
// processors. The caller frees it.
char *cpu_set_format(const struct cpu_set *set, unsigned int count);

// How many processors the machine can have: the largest id plus one.
struct error *host_cpu_limit(struct toolstack *toolstack, unsigned int *limit) MUST_CHECK;

// The NUMA node of each processor (XEN_INVALID_NODE_ID for one that is not there); the caller frees
// the array.
struct error *host_get_nodes(struct toolstack *toolstack, uint32_t **nodes,
                             unsigned int *count) MUST_CHECK;

struct cpu_pool {
    uint32_t id;
    char *name;
    uint32_t scheduler;
    uint32_t domains;
    struct cpu_set cpus;
};

// All pools; host_free_pools frees them.
struct error *host_list_pools(struct toolstack *toolstack, struct cpu_pool **pools,
                              size_t *count) MUST_CHECK;
void host_free_pools(struct cpu_pool *pools, size_t count);

// The pool that a person means by a name or a number.
struct error *host_find_pool(struct toolstack *toolstack, const char *text,
                             uint32_t *id) MUST_CHECK;

// One operation of XEN_SYSCTL_cpupool_op without a set of processors.
struct error *host_pool_operation(struct toolstack *toolstack,
                                  struct xen_sysctl_cpupool_op *operation) MUST_CHECK;

// The weight and cap of a domain under credit2. Reading fills *parameters in.
struct error *domain_get_credit2(struct toolstack *toolstack, unsigned int domid,
                                 struct xen_domctl_sched_credit2 *parameters) MUST_CHECK;
struct error *domain_set_credit2(struct toolstack *toolstack, unsigned int domid,
                                 struct xen_domctl_sched_credit2 *parameters) MUST_CHECK;
// The rate limit of a pool's scheduler in microseconds; set first when set is true.
struct error *host_credit2_rate_limit(struct toolstack *toolstack, uint32_t pool, bool set,
                                      uint32_t *microseconds) MUST_CHECK;

struct vcpu_info_line {
    struct xen_domctl_getvcpuinfo info;
    struct cpu_set hard;
    struct cpu_set soft;
};

// What a vcpu does and where it may run. The sets are made and must be freed.
struct error *domain_get_vcpu(struct toolstack *toolstack, unsigned int domid, unsigned int vcpu,
                              struct vcpu_info_line *line) MUST_CHECK;
// A set that is NULL is left as it is.
struct error *domain_set_affinity(struct toolstack *toolstack, unsigned int domid,
                                  unsigned int vcpu, const struct cpu_set *hard,
                                  const struct cpu_set *soft, bool force) MUST_CHECK;

#endif
