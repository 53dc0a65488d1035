// SPDX-License-Identifier: Apache-2.0
/*
 * The part of the loader that only runs in domain 0: its console and its way to give up. Called
 * once from entry.S, in 64-bit mode with the first DOM0_LOADER_REACH bytes mapped one to one.
 */
#include <cpuid.h>
#include <stdint.h>
#include <xen/xen.h>
#include <xen/sched.h>

#include "dom0_loader.h"
#include "freestanding.h"
#include "load.h"

/* Called by entry.S: returns the kernel's entry point, or not at all. */
uint32_t loader_main(struct hvm_start_info *info, uint64_t loader_start, uint64_t loader_end);

static void write_console(const char *text)
{
    for (; *text != '\0'; text++) {
        __asm__ volatile("outb %b0, %w1" : : "a"(*text), "Nd"(DOM0_LOADER_CONSOLE_PORT));
    }
}

static bool has_vmmcall(void)
{
    unsigned max_leaf, ebx, ecx, edx;

    __cpuid(0, max_leaf, ebx, ecx, edx);
    return ebx == signature_AMD_ebx || ebx == 0x6f677948; /* "AuthenticAMD", "HygonGenuine" */
}

/* The hypercall of the public ABI, without the page: number in rax, arguments in rdi and rsi. */
static void hypercall_sched_op(unsigned command, void *argument)
{
    uint64_t result = __HYPERVISOR_sched_op;
    uint64_t first = command;
    void *second = argument;

    if (has_vmmcall()) {
        __asm__ volatile("vmmcall" : "+a"(result), "+D"(first), "+S"(second) : : "memory");
    } else {
        __asm__ volatile("vmcall" : "+a"(result), "+D"(first), "+S"(second) : : "memory");
    }
}

void loader_give_up(const char *message)
{
    struct sched_shutdown shutdown = {.reason = SHUTDOWN_crash};

    write_console(message);
    write_console("\n");
    hypercall_sched_op(SCHEDOP_shutdown, &shutdown);
    for (;;) {
        __asm__ volatile("hlt");
    }
}

uint32_t loader_main(struct hvm_start_info *info, uint64_t loader_start, uint64_t loader_end)
{
    struct load_error error;
    uint32_t entry;

    if (!load_kernel(info, (struct range){loader_start, loader_end}, &entry, &error)) {
        loader_give_up(error.message);
    }
    return entry;
}
