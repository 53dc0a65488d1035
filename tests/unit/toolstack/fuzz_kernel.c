// SPDX-License-Identifier: Apache-2.0
//
// Fuzzer of kernel images. An image that is accepted must have its segments inside the bytes that
// were given or unpacked, and below 4 GiB.
#include <stdlib.h>
#include <toolstack/kernel.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kernel kernel;
    struct error *error = kernel_read(data, size, &kernel);
    volatile unsigned char sum = 0;

    if (error) {
        error_free(error);
        return 0;
    }
    for (size_t i = 0; i < kernel.count; i++) {
        const struct kernel_segment *segment = &kernel.segments[i];

        if (segment->address + segment->size > 1ul << 32 || segment->file_size > segment->size)
            abort();
        // The sanitizer sees what lies outside.
        for (size_t j = 0; j < segment->file_size; j += 511)
            sum = (unsigned char)(sum + segment->bytes[j]);
    }
    kernel_free(&kernel);
    return 0;
}
