// SPDX-License-Identifier: Apache-2.0
// The console: every message goes into a 16 KiB ring, which xl dmesg reads, and to the serial port.
// The ring is addressed by absolute byte numbers; ring_end is where the next byte goes.
// Locking: console_lock, the innermost of all, guards the ring, the serial port and the rate limit.
// Input is taken from the device by the interrupt handler into `input`, and told from keys for the
// hypervisor later, in cpu_loop.
// Messages may come while the lock's holder is stopped for good (a dying machine): from
// console_die() on the lock is ignored.

#include <bulkhead/cmdline.h>
#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/debug_key.h>
#include <bulkhead/domain.h>
#include <bulkhead/format.h>
#include <bulkhead/serial.h>
#include <bulkhead/spinlock.h>
#include <bulkhead/string.h>
#include <bulkhead/timer.h>
#include <xen/errno.h>

#define RING_SIZE 16384u
#define MESSAGE_SIZE 1024u
#define PREFIX "(XEN) "

// Messages up to `always` are shown; those up to `limited` within the rate limit.
struct threshold {
    int always, limited;
};

#define RATE_MESSAGES 10u
#define RATE_INTERVAL 5000000000L // ns

static struct spinlock console_lock = SPINLOCK_INIT;
static bool dying;
static unsigned int lent_to = MAX_CPUS; // the CPU that may write while another holds the lock
static bool opened;                     // the serial port is in use

static char ring[RING_SIZE];
static uint32_t ring_start, ring_end;
static bool in_line; // the last byte put out was not a line's end

static struct threshold host_threshold = {LOG_INFO, LOG_INFO};
static struct threshold guest_threshold = {LOG_ERROR - 1, LOG_WARNING};

#define INPUT_SIZE 1024u
#define SWITCH_KEY 1 // Ctrl-A
#define SWITCH_COUNT 3u
#define POLL_INTERVAL 50000000L // ns, for a port without an interrupt

// Bytes with absolute numbers; what finds no room is lost.
struct input_queue {
    uint32_t begin, end;
    char text[INPUT_SIZE];
};

static struct input_queue received; // from the device, not looked at yet
static struct input_queue for_domain0;
static unsigned int switch_keys_seen;
static bool input_to_keys; // input goes to the debug keys, not to domain 0
static struct timer poll_timer;

static ns_t rate_since;
static unsigned int rate_used, rate_dropped;

static int parse_level(const char *text, size_t length, int *level)
{
    static const char *const names[] = {"none", "error", "warning", "info", "debug"};

    if (length == 3 && !strncmp(text, "all", 3)) {
        *level = LOG_DEBUG;
        return 0;
    }
    for (int i = 0; i < (int)ARRAY_SIZE(names); i++) {
        if (strlen(names[i]) == length && !strncmp(names[i], text, length)) {
            *level = i - 1;
            return 0;
        }
    }
    return -XEN_EINVAL;
}

// LEVEL or LEVEL/RATE-LIMITED-LEVEL.
static int parse_threshold(const char *value, struct threshold *threshold)
{
    const char *slash = strchr(value, '/');
    struct threshold t;

    if (parse_level(value, slash ? (size_t)(slash - value) : strlen(value), &t.always)) {
        return -XEN_EINVAL;
    }
    t.limited = t.always;
    if (slash && parse_level(slash + 1, strlen(slash + 1), &t.limited)) {
        return -XEN_EINVAL;
    }
    *threshold = t;
    return 0;
}

static const char *show_threshold(const struct threshold *t, char *text, size_t size)
{
    static const char *const names[] = {"none", "error", "warning", "info", "debug"};

    format_string(text, size, "%s/%s", names[t->always + 1], names[t->limited + 1]);
    return text;
}

static int parse_loglvl(const char *value)
{
    return parse_threshold(value, &host_threshold);
}

static const char *show_loglvl(void)
{
    static char text[24];

    return show_threshold(&host_threshold, text, sizeof(text));
}

static int parse_guest_loglvl(const char *value)
{
    return parse_threshold(value, &guest_threshold);
}

static const char *show_guest_loglvl(void)
{
    static char text[24];

    return show_threshold(&guest_threshold, text, sizeof(text));
}

static int parse_sync_console(const char *value)
{
    bool synchronous;
    int error = cmdline_parse_bool(value, &synchronous);

    if (!error && synchronous) {
        serial_make_synchronous();
    }
    return error;
}

CMDLINE_OPTION(sync_console, .name = "sync_console", .parse = parse_sync_console);
CMDLINE_OPTION(loglvl, .name = "loglvl", .parse = parse_loglvl, .runtime = parse_loglvl,
               .show = show_loglvl);
CMDLINE_OPTION(guest_loglvl, .name = "guest_loglvl", .parse = parse_guest_loglvl,
               .runtime = parse_guest_loglvl, .show = show_guest_loglvl);

static bool needs_lock(void)
{
    return !dying && __atomic_load_n(&lent_to, __ATOMIC_RELAXED) != this_cpu()->id;
}

static void lock_console(void)
{
    if (needs_lock()) {
        spin_lock(&console_lock);
    }
}

static void unlock_console(void)
{
    if (needs_lock()) {
        spin_unlock(&console_lock);
    }
}

void console_lend(unsigned int cpu)
{
    lock_console();
    __atomic_store_n(&lent_to, cpu, __ATOMIC_RELEASE);
}

void console_take_back(void)
{
    __atomic_store_n(&lent_to, MAX_CPUS, __ATOMIC_RELEASE);
    unlock_console();
}

static void ring_put(const char *text, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ring[ring_end++ % RING_SIZE] = text[i];
    }
    if (ring_end - ring_start > RING_SIZE) {
        ring_start = ring_end - RING_SIZE;
    }
}

// Terminals want a carriage return before each line feed.
static void port_put(const char *text, size_t count)
{
    size_t begin = 0;

    for (size_t i = 0; i < count; i++) {
        if (text[i] == '\n') {
            serial_write(text + begin, i - begin);
            serial_write("\r\n", 2);
            begin = i + 1;
        }
    }
    serial_write(text + begin, count - begin);
}

static void put(const char *text, size_t count)
{
    ring_put(text, count);
    if (opened) {
        port_put(text, count);
    }
}

// Puts out a message line by line, each with the prefix and a line's end.
static void put_message(const char *text)
{
    if (in_line) {
        // The unfinished line is domain 0's, which is not in the ring.
        port_put("\n", 1);
        in_line = false;
    }
    do {
        const char *end = strchr(text, '\n');
        size_t length = end ? (size_t)(end - text) : strlen(text);

        put(PREFIX, sizeof(PREFIX) - 1);
        put(text, length);
        put("\n", 1);
        text += length + (end ? 1 : 0);
    } while (*text);
}

// Whether a rate-limited message may pass now.
static bool rate_allows(void)
{
    ns_t t = now();

    if (t - rate_since >= RATE_INTERVAL) {
        char text[64];

        if (rate_dropped) {
            format_string(text, sizeof(text), "%u messages about guests left out", rate_dropped);
            put_message(text);
        }
        rate_since = t;
        rate_used = 0;
        rate_dropped = 0;
    }
    if (rate_used < RATE_MESSAGES) {
        rate_used++;
        return true;
    }
    rate_dropped++;
    return false;
}

void log_message(enum log_level level, const char *format, ...)
{
    bool guest = level >= LOG_GUEST_ERROR;
    int severity = guest ? (int)level - LOG_GUEST_ERROR : (int)level;
    const struct threshold *threshold = guest ? &guest_threshold : &host_threshold;
    char text[MESSAGE_SIZE];
    va_list args;

    if (severity > threshold->always && severity > threshold->limited) {
        return;
    }
    va_start(args, format);
    format_string_args(text, sizeof(text), format, args);
    va_end(args);

    lock_console();
    if (severity <= threshold->always || rate_allows()) {
        put_message(text);
    }
    unlock_console();
}

void console_write_raw(const char *text, size_t count)
{
    if (count == 0) {
        return;
    }
    lock_console();
    if (opened) {
        port_put(text, count);
    }
    in_line = text[count - 1] != '\n';
    unlock_console();
}

size_t console_ring_read(uint32_t *index, char *buffer, size_t size, bool clear)
{
    size_t n = 0;
    uint32_t position;

    lock_console();
    position = *index;
    if (ring_end - position > ring_end - ring_start) {
        position = ring_start;
    }
    for (; n < size && position != ring_end; n++) {
        buffer[n] = ring[position++ % RING_SIZE];
    }
    *index = position;
    if (clear) {
        ring_start = ring_end;
    }
    unlock_console();
    return n;
}

void console_open(void)
{
    uint32_t position;

    lock_console();
    opened = serial_init();
    // What was said before the port was known.
    for (position = ring_start; opened && position != ring_end; position++) {
        port_put(&ring[position % RING_SIZE], 1);
    }
    unlock_console();
}

void console_flush(void)
{
    lock_console();
    serial_make_synchronous();
    unlock_console();
}

void console_die(void)
{
    dying = true;
    if (!opened) {
        console_open();
    }
    serial_make_synchronous();
}

static bool input_put(struct input_queue *queue, char c)
{
    if (queue->end - queue->begin == INPUT_SIZE) {
        return false;
    }
    queue->text[queue->end++ % INPUT_SIZE] = c;
    return true;
}

static size_t input_take(struct input_queue *queue, char *buffer, size_t size)
{
    size_t n = 0;

    while (n < size && queue->begin != queue->end) {
        buffer[n++] = queue->text[queue->begin++ % INPUT_SIZE];
    }
    return n;
}

// The device wants service: an interrupt, or the poll timer.
static void handle_device(void)
{
    char text[64]; // more than a device holds
    size_t n;
    bool any;

    lock_console();
    n = serial_read(text, sizeof(text));
    for (size_t i = 0; i < n; i++) {
        input_put(&received, text[i]);
    }
    any = received.begin != received.end;
    serial_service();
    unlock_console();
    if (any) {
        cpu_raise_work(this_cpu()->id, CPU_WORK_KEY);
    }
}

static void poll_device(void *data)
{
    (void)data;
    handle_device();
    timer_set(&poll_timer, now() + POLL_INTERVAL);
}

void console_use_interrupts(void)
{
    bool done;

    lock_console();
    done = serial_use_interrupts(handle_device);
    unlock_console();
    if (!done) {
        log_warning("The serial port has no interrupt: it is polled");
        if (timer_reserve(1)) {
            log_warning("and cannot be: no memory for a timer");
            return;
        }
        timer_init(&poll_timer, this_cpu()->id, poll_device, NULL);
        timer_set(&poll_timer, now() + POLL_INTERVAL);
    }
}

// Gives a character to whom the input belongs; true if domain 0 has something to read.
static bool route_input(char c)
{
    bool queued;

    if (input_to_keys) {
        debug_key_handle(c);
        return false;
    }
    lock_console();
    queued = input_put(&for_domain0, c);
    unlock_console();
    return queued;
}

static void switch_input(void)
{
    input_to_keys = !input_to_keys;
    log_error("Serial input to %s (type Ctrl-A three times to switch)",
              input_to_keys ? "Bulkhead" : "DOM0");
}

// Switch characters are held back until it is known whether they make a sequence.
static bool take_input(char c)
{
    bool queued = false;

    if (c == SWITCH_KEY) {
        if (++switch_keys_seen == SWITCH_COUNT) {
            switch_keys_seen = 0;
            switch_input();
        }
        return false;
    }
    for (; switch_keys_seen; switch_keys_seen--) {
        queued |= route_input(SWITCH_KEY);
    }
    return route_input(c) || queued;
}

void console_serve_input(void)
{
    char text[64];
    size_t n;
    bool queued = false;

    lock_console();
    n = input_take(&received, text, sizeof(text));
    unlock_console();
    for (size_t i = 0; i < n; i++) {
        queued |= take_input(text[i]);
    }
    if (queued && domain0) {
        event_send_host_virq(VIRQ_CONSOLE);
    }
    if (n == sizeof(text)) {
        cpu_raise_work(this_cpu()->id, CPU_WORK_KEY);
    }
}

size_t console_read(char *buffer, size_t size)
{
    size_t n;

    lock_console();
    n = input_take(&for_domain0, buffer, size);
    unlock_console();
    return n;
}
