// SPDX-License-Identifier: Apache-2.0
// FPU and extended state, switched as a whole with the vcpu: the hypervisor's own code uses none
// of it. Saving and loading is done under the full XCR0, so that components that a guest has
// switched off for a moment are neither lost nor left over for the next guest.

#include <bulkhead/console.h>
#include <bulkhead/domain.h>
#include <bulkhead/heap.h>
#include <bulkhead/string.h>
#include <x86/cpuid.h>
#include <x86/extended_state.h>
#include <x86/registers.h>

#define CPUID_1_ECX_XSAVE (1u << 26)
#define KNOWN_COMPONENTS 0xe7UL // x87, SSE, AVX, the three of AVX-512
#define MXCSR_MASK_OFFSET 28u
#define MXCSR_MASK_OLD 0xffbfu // of processors that do not tell

static uint64_t mask; // 0: FXSAVE only
static uint32_t mxcsr_mask;
static unsigned int area_order;

static void write_xcr0(uint64_t value)
{
    __asm__ volatile("xsetbv" : : "c"(0), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

static uint32_t read_mxcsr_mask(void)
{
    static char image[EXTENDED_STATE_LEGACY] __attribute__((aligned(16)));
    uint32_t found;

    __asm__ volatile("fxsave64 (%0)" : : "r"(image) : "memory");
    memcpy(&found, image + MXCSR_MASK_OFFSET, sizeof(found));
    return found ? found : MXCSR_MASK_OLD;
}

int extended_state_init_cpu(void)
{
    struct cpuid_leaf leaf;
    uint64_t found;

    write_cr0(read_cr0() & ~(uint64_t)(CR0_TS | CR0_EM));
    write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT);
    mxcsr_mask = read_mxcsr_mask();
    if (!(cpuid(1, 0).ecx & CPUID_1_ECX_XSAVE)) {
        return mask ? -XEN_ENODEV : 0;
    }
    write_cr4(read_cr4() | CR4_OSXSAVE);
    leaf = cpuid(0xd, 0);
    found = (leaf.eax | (uint64_t)leaf.edx << 32) & KNOWN_COMPONENTS;
    if (mask && found != mask) {
        log_error("this CPU's extended state (%lx) differs from the first CPU's (%lx)", found,
                  mask);
        return -XEN_ENODEV;
    }
    mask = found;
    write_xcr0(mask);
    while (PAGE_SIZE << area_order < cpuid(0xd, 0).ebx) {
        area_order++;
    }
    return 0;
}

uint64_t extended_state_mask(void)
{
    return mask;
}

uint32_t extended_state_mxcsr_mask(void)
{
    return mxcsr_mask;
}

void *extended_state_alloc(void)
{
    void *area = heap_alloc_pages(area_order, 0);

    if (area) {
        extended_state_reset(area);
    }
    return area;
}

void extended_state_free(void *area)
{
    heap_free_pages(area, area_order);
}

static uint64_t read_xcr0(void)
{
    uint32_t low, high;

    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

uint64_t extended_state_save(void *area)
{
    uint64_t xcr0 = 1;

    if (mask) {
        xcr0 = read_xcr0();
        write_xcr0(mask);
        __asm__ volatile("xsave64 (%0)"
                         :
                         : "r"(area), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32))
                         : "memory");
    } else {
        __asm__ volatile("fxsave64 (%0)" : : "r"(area) : "memory");
    }
    return xcr0;
}

void extended_state_load(const void *area, uint64_t xcr0)
{
    if (mask) {
        write_xcr0(mask);
        __asm__ volatile("xrstor64 (%0)"
                         :
                         : "r"(area), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32))
                         : "memory");
        write_xcr0(xcr0);
    } else {
        __asm__ volatile("fxrstor64 (%0)" : : "r"(area) : "memory");
    }
}

bool extended_state_set_xcr0(uint64_t value)
{
    if (!extended_state_xcr0_valid(value)) {
        return false;
    }
    write_xcr0(value);
    return true;
}
