// SPDX-License-Identifier: Apache-2.0
// console_io: domain 0 reads and writes the serial console; other domains' output is logged line by
// line under their number, at guest level and so rate-limited.

#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/guest_access.h>
#include <bulkhead/hypercall.h>
#include <xen/xen.h>

#define PIECE 128u

static void log_guest_text(struct domain *d, const char *text, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char c = text[i];

        if (c != '\n' && d->console_line_length < sizeof(d->console_line) - 1) {
            // Only what cannot disturb a terminal.
            d->console_line[d->console_line_length++] = c >= ' ' && c < 0x7f ? c : '.';
        }
        if (c == '\n' || d->console_line_length == sizeof(d->console_line) - 1) {
            d->console_line[d->console_line_length] = '\0';
            d->console_line_length = 0;
            log_message(LOG_GUEST_INFO, "(d%u) %s", d->id, d->console_line);
        }
    }
}

static int64_t write_op(struct hypercall *call)
{
    struct domain *d = current_domain();
    char piece[PIECE];

    while ((uint32_t)call->arg[1]) {
        size_t count = MIN((uint32_t)call->arg[1], PIECE);

        if (copy_from_guest(piece, GVA(call->arg[2]), count)) {
            return -XEN_EFAULT;
        }
        if (d->privileged) {
            console_write_raw(piece, count);
        } else {
            spin_lock(&d->console_lock);
            log_guest_text(d, piece, count);
            spin_unlock(&d->console_lock);
        }
        call->arg[1] -= count;
        call->arg[2] += count;
        if ((uint32_t)call->arg[1] && preempt_needed()) {
            return hypercall_restart(call);
        }
    }
    return 0;
}

static int64_t read_op(const struct hypercall *call)
{
    char piece[PIECE];
    size_t count = console_read(piece, MIN((uint32_t)call->arg[1], PIECE));

    if (copy_to_guest(GVA(call->arg[2]), piece, count)) {
        return -XEN_EFAULT;
    }
    return (int64_t)count;
}

// arg: operation, count (32 bits), buffer.
int64_t do_console_io(struct hypercall *call)
{
    switch (call->arg[0]) {
    case CONSOLEIO_write:
        return write_op(call);
    case CONSOLEIO_read:
        return current_domain()->privileged ? read_op(call) : -XEN_EPERM;
    default:
        return -XEN_ENOSYS;
    }
}
