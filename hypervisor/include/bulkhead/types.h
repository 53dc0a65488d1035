// SPDX-License-Identifier: Apache-2.0
// Basic types. Each kind of address or frame number is a struct of its own, in every build, so
// that the compiler refuses a machine frame where a guest frame is wanted.
#ifndef BULKHEAD_TYPES_H
#define BULKHEAD_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SHIFT 12
#define PAGE_SIZE (1UL << PAGE_SHIFT)
#define PAGE_MASK (~(PAGE_SIZE - 1))
#define ORDER_4K 0u
#define ORDER_2M 9u
#define ORDER_1G 18u

typedef struct {
    uint64_t n;
} mfn_t; // machine frame number

typedef struct {
    uint64_t n;
} gfn_t; // guest frame number (guest-physical address >> 12)

typedef struct {
    uint64_t a;
} maddr_t; // machine-physical address, bytes

typedef struct {
    uint64_t a;
} gpa_t; // guest-physical address, bytes

typedef struct {
    uint64_t a;
} gva_t; // guest linear address, bytes

typedef int64_t ns_t; // nanoseconds; as a point in time: since the hypervisor started

#define MFN(x) ((mfn_t){(x)})
#define GFN(x) ((gfn_t){(x)})
#define MADDR(x) ((maddr_t){(x)})
#define GPA(x) ((gpa_t){(x)})
#define GVA(x) ((gva_t){(x)})
#define INVALID_MFN MFN(~0UL)
#define INVALID_GFN GFN(~0UL)

static inline maddr_t mfn_to_maddr(mfn_t mfn)
{
    return MADDR(mfn.n << PAGE_SHIFT);
}

static inline mfn_t maddr_to_mfn(maddr_t maddr)
{
    return MFN(maddr.a >> PAGE_SHIFT);
}

static inline gfn_t gpa_to_gfn(gpa_t gpa)
{
    return GFN(gpa.a >> PAGE_SHIFT);
}

static inline gpa_t gfn_to_gpa(gfn_t gfn)
{
    return GPA(gfn.n << PAGE_SHIFT);
}

static inline mfn_t mfn_add(mfn_t mfn, uint64_t count)
{
    return MFN(mfn.n + count);
}

static inline gfn_t gfn_add(gfn_t gfn, uint64_t count)
{
    return GFN(gfn.n + count);
}

static inline bool mfn_valid_number(mfn_t mfn)
{
    return mfn.n != ~0UL;
}

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define DIV_ROUND_UP(n, d) (((n) + (d)-1) / (d))
#define ALIGN_UP(x, a) (((x) + ((a)-1)) & ~((typeof(x))(a)-1))
#define ALIGN_DOWN(x, a) ((x) & ~((typeof(x))(a)-1))
#define MIN(a, b)                                                                                  \
    ({                                                                                             \
        typeof(a) min_a_ = (a);                                                                    \
        typeof(b) min_b_ = (b);                                                                    \
        min_a_ < min_b_ ? min_a_ : min_b_;                                                         \
    })
#define MAX(a, b)                                                                                  \
    ({                                                                                             \
        typeof(a) max_a_ = (a);                                                                    \
        typeof(b) max_b_ = (b);                                                                    \
        max_a_ > max_b_ ? max_a_ : max_b_;                                                         \
    })
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

#endif
