// SPDX-License-Identifier: Apache-2.0
// The contents of XSAVE areas, apart from the instructions that load and save them: 512 bytes of
// x87 and SSE state, a header of 64 bytes, then the other components where CPUID leaf 13 says.
// What the processor refuses to load would fault in the hypervisor, so images from outside are
// checked for all of it (AMD64 APM volume 2, 11.5; volume 4, XRSTOR) before they come near an area.
// No locking: an area is its vcpu's, which does not run.

#include <bulkhead/string.h>
#include <x86/cpuid.h>
#include <x86/extended_state.h>

#define X87 1UL
#define SSE 2UL
#define AVX 4UL
#define AVX512 0xe0UL
#define FIRST_EXTENDED 2u // number of the first component after the header

struct image {
    uint16_t fcw, fsw;
    uint8_t rest_of_x87[20];
    uint32_t mxcsr, mxcsr_mask;
    uint8_t rest_of_legacy[480];
    // The header; not there without XSAVE.
    uint64_t in_use; // XSTATE_BV
    uint64_t reserved[7];
};

_Static_assert(offsetof(struct image, mxcsr) == 24, "FXSAVE layout");
_Static_assert(offsetof(struct image, in_use) == EXTENDED_STATE_LEGACY, "XSAVE layout");

bool extended_state_xcr0_valid(uint64_t value)
{
    // x87 always; AVX needs SSE; the AVX-512 components come together and need AVX.
    return !(value & ~extended_state_mask()) && (value & X87) &&
           (!(value & AVX) || (value & SSE)) &&
           (!(value & AVX512) || ((value & AVX512) == AVX512 && (value & AVX)));
}

size_t extended_state_size(uint64_t components)
{
    size_t size = sizeof(struct image);

    for (unsigned int i = FIRST_EXTENDED; components >> i; i++) {
        if (components >> i & 1) {
            struct cpuid_leaf place = cpuid(0xd, i);

            size = MAX(size, (size_t)place.ebx + place.eax);
        }
    }
    return size;
}

static void reset_legacy(struct image *image)
{
    memset(image, 0, EXTENDED_STATE_LEGACY);
    image->fcw = 0x37f;
    image->mxcsr = 0x1f80;
}

void extended_state_reset(void *area)
{
    struct image *image = area;

    reset_legacy(image);
    if (extended_state_mask()) {
        memset(&image->in_use, 0, sizeof(*image) - EXTENDED_STATE_LEGACY);
        image->in_use = X87 | SSE;
    }
}

uint64_t extended_state_in_use(const void *area)
{
    return extended_state_mask() ? ((const struct image *)area)->in_use : X87 | SSE;
}

bool extended_state_legacy_valid(const void *image)
{
    return !(((const struct image *)image)->mxcsr & ~extended_state_mxcsr_mask());
}

bool extended_state_image_valid(const void *image, uint64_t components)
{
    const struct image *i = image;
    uint64_t reserved = 0;

    for (size_t n = 0; n < ARRAY_SIZE(i->reserved); n++) {
        reserved |= i->reserved[n];
    }
    return extended_state_legacy_valid(image) && !reserved && !(i->in_use & ~components);
}

void extended_state_put_legacy(void *area, const void *image)
{
    extended_state_reset(area);
    memcpy(area, image, EXTENDED_STATE_LEGACY);
}

void extended_state_put(void *area, const void *image, uint64_t components)
{
    struct image *to = area;
    uint32_t mxcsr;

    memcpy(area, image, extended_state_size(components));
    // What is not in use is loaded as after reset, but for MXCSR; the area should read alike.
    mxcsr = to->mxcsr;
    if (!(to->in_use & (X87 | SSE))) {
        reset_legacy(to);
        to->mxcsr = mxcsr;
    }
}
