// SPDX-License-Identifier: Apache-2.0
// The platform_op hypercall, by which domain 0's kernel deals with the machine: wall clock, sleep
// states, processors, firmware. What the hypervisor does not do is refused with the error that the
// kernel takes for an answer.
// Locking: only the wall clock is kept here, changed under platform_lock. Errors: the structure is
// copied once, its version checked, then each command checks its part before it acts.

#include <bulkhead/acpi.h>
#include <bulkhead/boot_info.h>
#include <bulkhead/console.h>
#include <bulkhead/control.h>
#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/guest_access.h>
#include <bulkhead/hypercall.h>
#include <bulkhead/stretch.h>
#include <bulkhead/string.h>
#include <x86/debug.h>
#include <x86/features.h>
#include <x86/registers.h>
#include <x86/safe_msr.h>
#include <xen/platform.h>

#define SECOND 1000000000L
#define MSR_UCODE_REVISION 0x8bu
#define MAX_RESOURCES 3u

static struct spinlock platform_lock = SPINLOCK_INIT;

// Everybody's wall clock follows the host's.
static void update_wallclocks(void)
{
    struct domain *d;

    for (domid_t next = 0; (d = domain_next(next)) != NULL; next = d->id + 1) {
        arch_domain_update_wallclock(d);
        domain_put(d);
    }
}

static int64_t set_time(uint64_t seconds, uint32_t nanoseconds, uint64_t system_time)
{
    ns_t start;

    if (nanoseconds >= SECOND || seconds > INT64_MAX / SECOND / 2 || system_time > INT64_MAX) {
        return -XEN_EINVAL;
    }
    start = (ns_t)seconds * SECOND + nanoseconds - (ns_t)system_time;
    if (start < 0) {
        return -XEN_EINVAL;
    }
    spin_lock(&platform_lock);
    boot_info.boot_time_wallclock = start;
    update_wallclocks();
    spin_unlock(&platform_lock);
    return 0;
}

static int64_t set_time32(struct xen_platform_op *op)
{
    return set_time(op->u.settime32.secs, op->u.settime32.nsecs, op->u.settime32.system_time);
}

static int64_t set_time64(struct xen_platform_op *op)
{
    if (op->u.settime64.mbz) {
        return -XEN_EINVAL;
    }
    return set_time(op->u.settime64.secs, op->u.settime64.nsecs, op->u.settime64.system_time);
}

// The firmware's disk and display services were not asked when the machine started.
static int64_t firmware_info(struct xen_platform_op *op)
{
    switch (op->u.firmware_info.type) {
    case XEN_FW_DISK_INFO:
    case XEN_FW_DISK_MBR_SIGNATURE:
    case XEN_FW_VBEDDC_INFO:
    case XEN_FW_KBD_SHIFT_FLAGS:
        return -XEN_ESRCH;
    default: // EFI's runtime services among them
        return -XEN_ENOSYS;
    }
}

static int64_t enter_sleep(struct xen_platform_op *op)
{
    struct xenpf_enter_acpi_sleep *sleep = &op->u.enter_acpi_sleep;

    if (sleep->flags & ~(uint32_t)XENPF_ACPI_SLEEP_EXTENDED) {
        return -XEN_EINVAL;
    }
    if ((sleep->flags & XENPF_ACPI_SLEEP_EXTENDED) || sleep->sleep_state != 5) {
        return -XEN_EOPNOTSUPP; // only off: no device state is kept
    }
    log_info("Domain 0 switches the power off");
    console_flush();
    return acpi_enter_sleep(sleep->val_a, sleep->val_b);
}

static unsigned int max_present(void)
{
    unsigned int cpu, last = 0;

    for_each_cpu (cpu, &online_cpus) {
        last = cpu;
    }
    return last;
}

static int64_t get_cpuinfo(struct xen_platform_op *op)
{
    struct xenpf_pcpuinfo *info = &op->u.pcpu_info;

    info->max_present = max_present();
    info->apic_id = info->acpi_id = 0;
    if (info->xen_cpuid >= MAX_CPUS || !cpumask_test(&online_cpus, info->xen_cpuid)) {
        info->flags = XEN_PCPU_FLAGS_INVALID;
        return 0;
    }
    info->flags = XEN_PCPU_FLAGS_ONLINE;
    info->apic_id = cpus[info->xen_cpuid]->arch.apic_id;
    info->acpi_id = cpus[info->xen_cpuid]->arch.acpi_id;
    return 0;
}

static int64_t get_cpu_version(struct xen_platform_op *op)
{
    struct xenpf_pcpu_version *version = &op->u.pcpu_version;

    version->max_present = max_present();
    if (version->xen_cpuid >= MAX_CPUS || !cpumask_test(&online_cpus, version->xen_cpuid)) {
        memset(version->vendor_id, 0, sizeof(version->vendor_id));
        version->family = version->model = version->stepping = 0;
        return 0;
    }
    memcpy(version->vendor_id, cpu_features.vendor, sizeof(version->vendor_id));
    version->family = cpu_features.family;
    version->model = cpu_features.model;
    version->stepping = cpu_features.stepping;
    return 0;
}

// Reads what the caller wants to know about which CPUs, and answers for those that exist.
static int64_t get_idle_time(struct xen_platform_op *op)
{
    struct xenpf_getidletime *request = &op->u.getidletime;
    unsigned int count = MIN(request->cpumap_nr_cpus, MAX_CPUS);
    struct cpumask mask = {{0}};
    unsigned int cpu;

    if (count && copy_from_guest(mask.bits, guest_handle_address(request->cpumap_bitmap),
                                 DIV_ROUND_UP(count, 8))) {
        return -XEN_EFAULT;
    }
    request->now = (uint64_t)now();
    for (cpu = 0; cpu < count; cpu++) {
        uint64_t idle = 0;

        if (!cpumask_test(&mask, cpu)) {
            continue;
        }
        if (cpumask_test(&online_cpus, cpu)) {
            idle = (uint64_t)control_idle_time(cpu);
        } else {
            cpumask_unset(&mask, cpu);
        }
        if (copy_to_handle(request->idletime, cpu, &idle, 1)) {
            return -XEN_EFAULT;
        }
    }
    if (count && copy_to_guest(guest_handle_address(request->cpumap_bitmap), mask.bits,
                               DIV_ROUND_UP(count, 8))) {
        return -XEN_EFAULT;
    }
    return 0;
}

static int64_t change_cpu(struct xen_platform_op *op)
{
    uint32_t cpu = op->u.cpu_ol.cpuid;
    bool online = cpu < MAX_CPUS && cpumask_test(&online_cpus, cpu);

    if (!online) {
        return -XEN_EINVAL;
    }
    // Processors stay as they were when the machine started.
    return op->cmd == XENPF_cpu_online ? 0 : -XEN_EOPNOTSUPP;
}

static int64_t core_parking(struct xen_platform_op *op)
{
    struct xenpf_core_parking *parking = &op->u.core_parking;

    switch (parking->type) {
    case XEN_CORE_PARKING_SET:
        return parking->idle_nums ? -XEN_EOPNOTSUPP : 0;
    case XEN_CORE_PARKING_GET:
        parking->idle_nums = 0;
        return 0;
    default:
        return -XEN_EINVAL;
    }
}

struct resource_batch {
    unsigned int count;
    struct xenpf_resource_entry entries[MAX_RESOURCES];
    unsigned int done;
};

// On the CPU in question. Only the time may be read: other registers are the hypervisor's.
static void access_resources(void *data)
{
    struct resource_batch *batch = data;

    for (unsigned int i = 0; i < batch->count; i++) {
        struct xenpf_resource_entry *entry = &batch->entries[i];
        int error = 0;

        if (entry->rsvd) {
            error = -XEN_EINVAL;
        } else if (entry->u.cmd != XEN_RESOURCE_OP_MSR_READ &&
                   entry->u.cmd != XEN_RESOURCE_OP_MSR_WRITE) {
            error = -XEN_EOPNOTSUPP;
        } else if (entry->idx != MSR_TSC) {
            error = -XEN_EACCES;
        } else if (entry->u.cmd == XEN_RESOURCE_OP_MSR_WRITE) {
            error = -XEN_EPERM;
        }
        if (error) {
            entry->u.ret = error;
            return;
        }
        entry->val = (uint64_t)now();
        batch->done++;
    }
}

static int64_t resource_op(struct xen_platform_op *op)
{
    struct xenpf_resource_op *request = &op->u.resource_op;
    struct resource_batch batch = {.count = request->nr_entries};
    struct cpumask mask = {{0}};

    if (request->nr_entries > MAX_RESOURCES) {
        return -XEN_E2BIG;
    }
    if (request->cpu >= MAX_CPUS || !cpumask_test(&online_cpus, request->cpu)) {
        return -XEN_ENODEV;
    }
    if (!batch.count) {
        return 0;
    }
    if (copy_from_handle(batch.entries, request->entries, 0, batch.count)) {
        return -XEN_EFAULT;
    }
    cpumask_set(&mask, request->cpu);
    arch_call_cpus(&mask, access_resources, &batch);
    if (copy_to_handle(request->entries, 0, batch.entries, batch.count)) {
        return -XEN_EFAULT;
    }
    return batch.done;
}

static int64_t get_symbol(struct xen_platform_op *op)
{
    struct xenpf_symdata *data = &op->u.symdata;
    const char *name = symbol_at(data->symnum, &data->address);
    uint32_t room = data->namelen;

    if (!name) {
        data->namelen = 0;
        return 0; // symnum as it was: the end
    }
    data->symnum++;
    data->type = 't';
    data->namelen = (uint32_t)strlen(name);
    if (room &&
        copy_to_guest(guest_handle_address(data->name), name, MIN(room, data->namelen + 1))) {
        return -XEN_EFAULT;
    }
    return 0;
}

static void read_revision(void *data)
{
    uint64_t value;
    uint32_t *revision = data;

    // AMD has it in the low half, Intel in the high one.
    read_msr_safe(MSR_UCODE_REVISION, &value);
    *revision = cpu_features.amd ? (uint32_t)value : (uint32_t)(value >> 32);
}

static int64_t get_ucode_revision(struct xen_platform_op *op)
{
    struct xenpf_ucode_revision *request = &op->u.ucode_revision;
    struct cpumask mask = {{0}};
    uint32_t family = cpu_features.family, model = cpu_features.model;

    if (request->cpu >= MAX_CPUS || !cpumask_test(&online_cpus, request->cpu)) {
        return -XEN_ENOENT;
    }
    cpumask_set(&mask, request->cpu);
    arch_call_cpus(&mask, read_revision, &request->revision);
    // CPUID 1's EAX, put together again: base and extended family and model.
    request->signature = cpu_features.stepping | (model & 0xf) << 4 | MIN(family, 0xfu) << 8 |
                         (model >> 4) << 16 | (family > 0xf ? family - 0xf : 0) << 20;
    request->pf = 0;
    return 0;
}

static int64_t no_console(struct xen_platform_op *op)
{
    (void)op;
    return -XEN_ENODEV; // the hypervisor drives no display that domain 0 could take over
}

static int64_t unsupported(struct xen_platform_op *op)
{
    (void)op;
    return -XEN_EOPNOTSUPP;
}

// Those that are not here give -ENOSYS: power management information (domain 0's driver then keeps
// still), EFI, memory types, frequency changes.
static const struct {
    int64_t (*handle)(struct xen_platform_op *op);
    bool copy_back;
} commands[] = {
    [XENPF_settime32] = {set_time32, false},
    [XENPF_settime64] = {set_time64, false},
    [XENPF_firmware_info] = {firmware_info, false},
    [XENPF_enter_acpi_sleep] = {enter_sleep, false},
    [XENPF_getidletime] = {get_idle_time, true},
    [XENPF_get_cpuinfo] = {get_cpuinfo, true},
    [XENPF_get_cpu_version] = {get_cpu_version, true},
    [XENPF_cpu_online] = {change_cpu, false},
    [XENPF_cpu_offline] = {change_cpu, false},
    [XENPF_cpu_hotadd] = {unsupported, false},
    [XENPF_mem_hotadd] = {unsupported, false},
    [XENPF_core_parking] = {core_parking, true},
    [XENPF_resource_op] = {resource_op, false},
    [XENPF_get_symbol] = {get_symbol, true},
    [XENPF_get_dom0_console] = {no_console, false},
    [XENPF_get_ucode_revision] = {get_ucode_revision, true},
    [XENPF_microcode_update] = {unsupported, false},
    [XENPF_microcode_update2] = {unsupported, false},
};

// arg: structure.
int64_t do_platform_op(struct hypercall *call)
{
    struct xen_platform_op op;
    gva_t at = GVA(call->arg[0]);
    int64_t result;

    if (current_domain() != domain0) {
        return -XEN_EPERM;
    }
    if (copy_from_guest(&op, at, sizeof(op))) {
        return -XEN_EFAULT;
    }
    stretch_set_operation(op.cmd);
    if (op.interface_version != XENPF_INTERFACE_VERSION) {
        return -XEN_EACCES;
    }
    if (op.cmd >= ARRAY_SIZE(commands) || !commands[op.cmd].handle) {
        return -XEN_ENOSYS;
    }
    result = commands[op.cmd].handle(&op);
    if (result >= 0 && commands[op.cmd].copy_back && copy_to_guest(at, &op, sizeof(op))) {
        return -XEN_EFAULT;
    }
    return result;
}
