// SPDX-License-Identifier: Apache-2.0
// MSR accesses that may fault. Each pairs its instruction with a place to go on at after a general
// protection fault, in the fixup table that exceptions.c searches.

#include <x86/safe_msr.h>

// Within an asm statement: the instruction at label 1 faults to label 2.
#define FIXUP(from, to)                                                                            \
    ".pushsection .fixup_table, \"a\"\n\t"                                                         \
    ".balign 8\n\t"                                                                                \
    ".quad " #from ", " #to "\n\t"                                                                 \
    ".popsection\n\t"

bool read_msr_safe(uint32_t msr, uint64_t *value)
{
    uint32_t low = 0, high = 0, failed = 1;

    __asm__ volatile("1: rdmsr\n\t"
                     "xorl %2, %2\n"
                     "2:\n\t" FIXUP(1b, 2b)
                     : "+a"(low), "+d"(high), "+r"(failed)
                     : "c"(msr));
    *value = (uint64_t)high << 32 | low;
    return !failed;
}

bool write_msr_safe(uint32_t msr, uint64_t value)
{
    uint32_t failed = 1;

    __asm__ volatile("1: wrmsr\n\t"
                     "xorl %0, %0\n"
                     "2:\n\t" FIXUP(1b, 2b)
                     : "+r"(failed)
                     : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
                     : "memory");
    return !failed;
}

bool xsetbv_safe(uint32_t index, uint64_t value)
{
    uint32_t failed = 1;

    __asm__ volatile("1: xsetbv\n\t"
                     "xorl %0, %0\n"
                     "2:\n\t" FIXUP(1b, 2b)
                     : "+r"(failed)
                     : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
                     : "memory");
    return !failed;
}
