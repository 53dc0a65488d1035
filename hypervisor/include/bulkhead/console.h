// SPDX-License-Identifier: Apache-2.0
// The hypervisor's console: levelled messages into a 16 KiB ring (xl dmesg) and to the serial
// port. May be called from any context, also before the console is set up and while dying.
#ifndef BULKHEAD_CONSOLE_H
#define BULKHEAD_CONSOLE_H

#include <stdarg.h>
#include <bulkhead/types.h>

enum log_level {
    LOG_ERROR,
    LOG_WARNING,
    LOG_INFO,
    LOG_DEBUG,
    // Messages caused by what a guest did: filtered by guest_loglvl and rate-limited.
    LOG_GUEST_ERROR,
    LOG_GUEST_WARNING,
    LOG_GUEST_INFO,
    LOG_GUEST_DEBUG,
};

// Formats and emits one message (a "(XEN) " prefix is put before each line). The format knows
// %d %u %x %lx %llx %p %s %c %% with width, zero padding and '-'; sizes hh h l ll z.
void log_message(enum log_level level, const char *format, ...) PRINTF_LIKE(2, 3);

#define log_error(...) log_message(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_message(LOG_WARNING, __VA_ARGS__)
#define log_info(...) log_message(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_message(LOG_DEBUG, __VA_ARGS__)

// snprintf with the same format; always terminates; returns the length it would have needed.
int format_string(char *buffer, size_t size, const char *format, ...) PRINTF_LIKE(3, 4);
int format_string_args(char *buffer, size_t size, const char *format, va_list args);

// Writes count bytes as they are, without prefix, to the serial port but not to the ring, where
// they would push the hypervisor's own messages out (domain 0's console, the loader's port 0xe9).
void console_write_raw(const char *text, size_t count);

// Sends what is still queued for the serial port, and from now on at once: the machine is about to
// stop or restart.
void console_flush(void);

// Takes up to size bytes of serial input destined for domain 0; returns how many.
size_t console_read(char *buffer, size_t size);

// Reads the ring for XEN_SYSCTL_readconsole: from *index (absolute byte number; moved up if that
// byte was overwritten), up to size bytes; returns how many and advances *index. clear: also
// forget everything up to now.
size_t console_ring_read(uint32_t *index, char *buffer, size_t size, bool clear);

// Serves what came in on the serial port: debug keys, input for domain 0. From cpu_loop
// (CPU_WORK_KEY), no lock held.
void console_serve_input(void);
// From now on the serial port works by interrupts. After the interrupt controllers are set up.
void console_use_interrupts(void);
// Opens the serial port as the command line chose it and shows there what was said before. Once.
void console_open(void);
// From now on messages are written at once and without the console's lock, whose holder may have
// been stopped: the machine is about to end.
void console_die(void);

// Lets another CPU, and nobody else, write messages without the lock until console_take_back: it is
// about to be interrupted by an NMI, in which it cannot wait for locks. The caller writes nothing
// meanwhile.
void console_lend(unsigned int cpu);
void console_take_back(void);

// Broken invariant: says what and where, shows what every CPU was doing, and halts or reboots the
// machine. No guest input may lead here.
__attribute__((noreturn)) void panic(const char *format, ...) PRINTF_LIKE(1, 2);

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (unlikely(!(condition))) {                                                              \
            panic("%s:%d: broken invariant: %s", __FILE__, __LINE__, #condition);                  \
        }                                                                                          \
    } while (0)

#endif
