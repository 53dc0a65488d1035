// SPDX-License-Identifier: Apache-2.0
// A second vcpu: started by INIT and SIPI through real mode, woken by events, and the
// floating-point and vector state of both vcpus while each makes the hypervisor work and gives way.

#include "apic.h"
#include "selftest.h"

#define ROUNDS 200
#define LANES 16

struct vector_state {
    uint64_t lanes[LANES][4];
};

static bool started;
static long wake_port;
static volatile uint32_t work_done, second_good, second_id;

bool second_vcpu_runs(void)
{
    return started;
}

static void on_wakeup(evtchn_port_t port)
{
    (void)port;
}

void run_on_second_vcpu(void (*work)(void))
{
    vcpu_give_work(1, work);
    event_send((evtchn_port_t)wake_port);
}

static void tell_id(void)
{
    second_id = cpuid(xen_cpuid_base + 4, 0).ebx;
    work_done = 1;
}

void check_vcpus(void)
{
    struct vcpu_runstate_info state;

    apic_enable();
    check_equal(hypercall(__HYPERVISOR_vcpu_op, VCPUOP_is_up, 0, 0, 0, 0), 1, "vcpu 0 is up");
    if (hypercall(__HYPERVISOR_vcpu_op, VCPUOP_is_up, 1, 0, 0, 0) == -XEN_ENOENT) {
        say("there is no second vcpu: not checked");
        return;
    }
    started = check(vcpus_start() > 0, "a second vcpu starts by INIT and SIPI");
    if (!started) {
        return;
    }
    check_equal(hypercall(__HYPERVISOR_vcpu_op, VCPUOP_is_up, 1, 0, 0, 0), 1, "vcpu 1 is up");
    check(vcpu_data[1].apic_id != apic_own_id(), "its APIC has another id");
    wake_port = event_bind_ipi(1);
    if (!check(wake_port > 0, "an IPI port to vcpu 1")) {
        return;
    }
    event_set_handler((evtchn_port_t)wake_port, on_wakeup);
    run_on_second_vcpu(tell_id);
    check(wait_until(&work_done, 500), "an event wakes it");
    check_equal(second_id, 1, "its id in CPUID is 1");
    check_equal(
        hypercall(__HYPERVISOR_vcpu_op, VCPUOP_get_runstate_info, 1, (unsigned long)&state, 0, 0),
        0, "VCPUOP_get_runstate_info of it");
}

static void load_vectors(const struct vector_state *state)
{
#define LOAD(n) "vmovdqu " #n "*32(%0), %%ymm" #n "\n\t"
    __asm__ volatile(LOAD(0) LOAD(1) LOAD(2) LOAD(3) LOAD(4) LOAD(5) LOAD(6) LOAD(7) LOAD(8) LOAD(9)
                         LOAD(10) LOAD(11) LOAD(12) LOAD(13) LOAD(14) LOAD(15)::"r"(state)
                     : "memory");
}

static void store_vectors(struct vector_state *state)
{
#define STORE(n) "vmovdqu %%ymm" #n ", " #n "*32(%0)\n\t"
    __asm__ volatile(STORE(0) STORE(1) STORE(2) STORE(3) STORE(4) STORE(5) STORE(6) STORE(7)
                         STORE(8) STORE(9) STORE(10) STORE(11) STORE(12) STORE(13) STORE(14)
                             STORE(15)::"r"(state)
                     : "memory");
}

static void load_sse(const struct vector_state *state)
{
    __asm__ volatile("movdqu (%0), %%xmm0; movdqu 32(%0), %%xmm15" ::"r"(state) : "memory");
}

static void store_sse(struct vector_state *state)
{
    __asm__ volatile("movdqu %%xmm0, (%0); movdqu %%xmm15, 32(%0)" ::"r"(state) : "memory");
}

static bool has_avx(void)
{
    const uint32_t needed = 1u << 26 | 1u << 28;

    return (cpuid(1, 0).ecx & needed) == needed;
}

static void enable_avx(void)
{
    if (has_avx()) {
        write_cr4(read_cr4() | 1ul << 18);
        xsetbv(0, 7);
    }
}

static bool equal(const struct vector_state *a, const struct vector_state *b, bool avx)
{
    bool same = true;

    for (unsigned int i = 0; i < (avx ? LANES : 2); i++) {
        for (unsigned int j = 0; j < (avx ? 4 : 2); j++) {
            same &= a->lanes[i][j] == b->lanes[i][j];
        }
    }
    return same;
}

// Keeps a pattern of this vcpu's own in x87 and vector registers while it exits and yields.
static bool keep_state(uint64_t seed)
{
    struct vector_state mine, found = {0};
    bool avx = has_avx(), good = true;
    uint64_t number = seed, back = 0;

    for (unsigned int i = 0; i < LANES * 4; i++) {
        mine.lanes[i / 4][i % 4] = seed * (i + 1);
    }
    enable_avx();
    __asm__ volatile("fninit; fildll %0" ::"m"(number));
    for (unsigned int i = 0; i < ROUNDS && good; i++) {
        if (avx) {
            load_vectors(&mine);
        } else {
            load_sse(&mine);
        }
        hypercall(__HYPERVISOR_xen_version, XENVER_version, 0, 0, 0, 0);
        hypercall(__HYPERVISOR_sched_op, SCHEDOP_yield, 0, 0, 0, 0);
        cpuid(0, 0);
        if (avx) {
            store_vectors(&found);
        } else {
            store_sse(&found);
        }
        good = equal(&mine, &found, avx);
    }
    __asm__ volatile("fistpll %0" : "=m"(back));
    return good && back == seed;
}

static void keep_second_state(void)
{
    second_good = keep_state(0x0123456789abul);
    work_done = 1;
}

void check_extended_state(void)
{
    if (second_vcpu_runs()) {
        work_done = 0;
        run_on_second_vcpu(keep_second_state);
    }
    check(keep_state(0x00fedcba98765ul),
          has_avx() ? "x87 and AVX state of vcpu 0 stays" : "x87 and SSE state of vcpu 0 stays");
    if (second_vcpu_runs()) {
        check(wait_until(&work_done, 2000), "vcpu 1 is ready in time");
        check(second_good, "x87 and vector state of vcpu 1 stays");
    }
    if (has_avx()) {
        check_equal((long)xgetbv(0), 7, "XCR0 is what was set");
    }
}
