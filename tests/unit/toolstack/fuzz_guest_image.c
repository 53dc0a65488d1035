// SPDX-License-Identifier: Apache-2.0
//
// Fuzzer of the guest's layout, ACPI tables and state: sizes, counts, the command line and the
// domain's own saved state are chosen by the input.
#include <stdlib.h>
#include <string.h>
#include <toolstack/guest_image.h>
#include <toolstack/memory.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct choice {
    uint64_t memory;
    uint32_t low;
    uint32_t high;
    uint32_t modules[GUEST_MODULES_MAX];
    uint8_t module_count;
    uint8_t vcpus;
};

static void write_all(const struct choice *choice, const struct kernel *kernel, const char *text)
{
    size_t sizes[GUEST_MODULES_MAX];
    struct guest_layout layout;
    size_t count = choice->module_count % (GUEST_MODULES_MAX + 1);

    for (size_t i = 0; i < count; i++)
        sizes[i] = choice->modules[i];
    struct error *error = guest_lay_out(choice->memory & ~4095ul, choice->memory & 1, kernel, text,
                                        sizes, count, &layout);

    if (error) {
        error_free(error);
        return;
    }
    uint8_t *bytes = memory_zeroed(layout.start_info_size);

    guest_write_start_info(&layout, text, sizes, count, bytes);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct choice choice;
    uint8_t *state;
    size_t state_size;

    if (size < sizeof(choice))
        return 0;
    memcpy(&choice, data, sizeof(choice));
    data += sizeof(choice);
    size -= sizeof(choice);
    char *text = memory_zeroed(size + 1);
    uint8_t *acpi = memory_zeroed(ACPI_SIZE);
    unsigned int vcpus = choice.vcpus % GUEST_VCPUS_MAX + 1;
    const struct kernel kernel = {.low = choice.low, .high = (choice.high + 4095ul) & ~4095ul};

    memcpy(text, data, size);
    write_all(&choice, &kernel, text);
    if (guest_write_acpi(vcpus, choice.memory & 1, acpi) > ACPI_SIZE)
        abort();
    struct error *error = guest_make_state(data, size, vcpus, 1, 2, &state, &state_size);

    if (!error)
        free(state);
    error_free(error);
    free(acpi);
    free(text);
    return 0;
}
