// SPDX-License-Identifier: Apache-2.0
//
// The saved state (HVM context) that starts a domain: a stream of records, each a descriptor and a
// structure of the public header. What the domain itself says about its header and its memory types
// is kept; the first vcpu's registers are set as the PVH boot ABI says.
#include <toolstack/guest_image.h>
#include <toolstack/memory.h>

#include <stdlib.h>
#include <string.h>
#include <xen/xen.h>
#include <xen/hvm/save.h>

#define SEGMENT_LIMIT 0xffffffffu
#define CODE_ATTRIBUTES 0xc9bu // present, 32-bit code, 4 GiB
#define DATA_ATTRIBUTES 0xc93u
#define TASK_ATTRIBUTES 0x8bu // busy 32-bit TSS
#define TASK_LIMIT 0x67u
#define MTRR_ENABLED 0x800u
#define MTRR_WRITE_BACK 6u

const void *guest_find_record(const uint8_t *state, size_t size, unsigned int type,
                              unsigned int instance, size_t length)
{
    size_t at = 0;

    while (size - at >= sizeof(struct hvm_save_descriptor)) {
        struct hvm_save_descriptor descriptor;

        memcpy(&descriptor, state + at, sizeof(descriptor));
        at += sizeof(descriptor);
        if (descriptor.length > size - at)
            return NULL;
        if (descriptor.typecode == type && descriptor.instance == instance)
            return descriptor.length == length ? state + at : NULL;
        at += descriptor.length;
    }
    return NULL;
}

static void add_record(struct text *stream, unsigned int type, unsigned int instance,
                       const void *record, size_t length)
{
    struct hvm_save_descriptor descriptor = {
        .typecode = (uint16_t)type, .instance = (uint16_t)instance, .length = (uint32_t)length};

    text_add_bytes(stream, (const char *)&descriptor, sizeof(descriptor));
    text_add_bytes(stream, record, length);
}

static void first_vcpu(struct hvm_hw_cpu *cpu, uint32_t entry, uint32_t start_info)
{
    *cpu = (struct hvm_hw_cpu){
        .rip = entry,
        .rbx = start_info,
        .rflags = 2,
        .cr0 = 0x11, // protected mode, no paging
        .dr6 = 0xffff0ff0,
        .dr7 = 0x400,
        .cs_limit = SEGMENT_LIMIT,
        .ds_limit = SEGMENT_LIMIT,
        .es_limit = SEGMENT_LIMIT,
        .ss_limit = SEGMENT_LIMIT,
        .tr_limit = TASK_LIMIT,
        .cs_arbytes = CODE_ATTRIBUTES,
        .ds_arbytes = DATA_ATTRIBUTES,
        .es_arbytes = DATA_ATTRIBUTES,
        .ss_arbytes = DATA_ATTRIBUTES,
        .tr_arbytes = TASK_ATTRIBUTES,
    };
}

struct error *guest_make_state(const uint8_t *own_state, size_t own_size, unsigned int vcpus,
                               uint32_t entry, uint32_t start_info, uint8_t **result, size_t *size)
{
    struct text stream = {0};
    struct hvm_hw_cpu cpu;
    const void *header =
        guest_find_record(own_state, own_size, HVM_SAVE_CODE(HEADER), 0, HVM_SAVE_LENGTH(HEADER));

    if (!header)
        return error_new(ERROR_HYPERVISOR, "the domain's state has no header");
    add_record(&stream, HVM_SAVE_CODE(HEADER), 0, header, HVM_SAVE_LENGTH(HEADER));
    first_vcpu(&cpu, entry, start_info);
    add_record(&stream, HVM_SAVE_CODE(CPU), 0, &cpu, sizeof(cpu));
    for (unsigned int vcpu = 0; vcpu < vcpus; vcpu++) {
        struct hvm_hw_mtrr mtrr;
        const void *own =
            guest_find_record(own_state, own_size, HVM_SAVE_CODE(MTRR), vcpu, sizeof(mtrr));

        // A hypervisor without memory types has no such record.
        if (!own)
            continue;
        memcpy(&mtrr, own, sizeof(mtrr));
        mtrr.msr_mtrr_def_type = MTRR_ENABLED | MTRR_WRITE_BACK;
        add_record(&stream, HVM_SAVE_CODE(MTRR), vcpu, &mtrr, sizeof(mtrr));
    }
    add_record(&stream, HVM_SAVE_CODE(END), 0, "", 0);
    *size = stream.length;
    *result = (uint8_t *)text_take(&stream);
    return NULL;
}
