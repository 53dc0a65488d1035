// SPDX-License-Identifier: Apache-2.0
// Fuzzer of hvm_context_load: whatever stream the toolstack gives, the vcpus stay in a state that
// the processor runs, and a refused stream changes nothing. If the input's first byte is even the
// rest is the stream; else it says which records to make and which of their bytes to change, so
// that what lies behind the first checks is reached too.

#include <stdlib.h>
#include <string.h>

#include "guest.h"

#define VCPUS 2u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct domain *d;
static struct stream s;

struct input {
    const uint8_t *data;
    size_t size;
};

static uint8_t next(struct input *in)
{
    uint8_t value = in->size ? *in->data : 0;

    in->data += in->size != 0;
    in->size -= in->size != 0;
    return value;
}

// Appends a good record of a type, where there is a way to make one.
static bool add_good_record(uint16_t type, uint16_t instance)
{
    uint32_t size = sizeof(s.bytes) - s.size - 64;
    struct hvm_hw_cpu_xsave *xsave;
    struct hvm_hw_cpu *cpu;

    if (type == HVM_SAVE_CODE(CPU)) {
        cpu = stream_add(&s, type, instance, sizeof(*cpu));
        guest_entry_record(cpu);
        cpu->flags = XEN_X86_FPU_INITIALISED;
        return true;
    }
    if (type == CPU_XSAVE_CODE) {
        xsave = stream_add(&s, type, instance, sizeof(*xsave));
        xsave->xcr0 = xsave->xcr0_accum = 3;
        return true;
    }
    if (hvm_context_save_one(d, type, instance % VCPUS, NULL, &size)) {
        return false;
    }
    return hvm_context_save_one(d, type, instance % VCPUS, stream_add(&s, type, instance, size),
                                &size) == 0;
}

static void prepare_records(struct input *in)
{
    stream_begin(&s);
    while (in->size && s.size < sizeof(s.bytes) / 2) {
        uint16_t type = next(in) % (HVM_SAVE_CODE_MAX + 2), instance = next(in) % (VCPUS + 1);
        uint32_t start = s.size;

        if (!add_good_record(type, instance)) {
            continue;
        }
        for (unsigned int changes = next(in) % 8; changes; changes--) {
            uint32_t at = next(in) | (uint32_t)next(in) << 8;

            s.bytes[start + at % (s.size - start)] = next(in);
        }
    }
    stream_end(&s);
}

static void prepare(struct input in)
{
    s.size = 0;
    if (next(&in) & 1) {
        prepare_records(&in);
    } else {
        s.size = (uint32_t)MIN(in.size, sizeof(s.bytes));
        memcpy(s.bytes, in.data, s.size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char *before, *after;
    size_t before_size, after_size;

    if (!d) {
        guest_start();
    }
    d = guest_create(VCPUS, true);
    prepare((struct input){data, size});
    before = guest_snapshot(d, &before_size);
    if (hvm_context_load(d, s.bytes, s.size)) {
        after = guest_snapshot(d, &after_size);
        if (memcmp(before, after, before_size) != 0) {
            abort();
        }
        free(after);
    }
    guest_check_safe(d);
    free(before);
    guest_end(d);
    return 0;
}
