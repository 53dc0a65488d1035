// SPDX-License-Identifier: Apache-2.0
// The NS16550 serial port at one of the PC's two places. All functions are called with the
// console's lock held, but the interrupt handler, which only passes on to the console. Output
// goes out by polling at first, later through a queue that the transmit interrupt empties. Polls
// are bounded: a port that never becomes ready is given up after a few bytes.

#include <bulkhead/acpi.h>
#include <bulkhead/cmdline.h>
#include <bulkhead/console.h>
#include <bulkhead/serial.h>
#include <bulkhead/string.h>
#include <xen/errno.h>
#include <x86/io_port.h>
#include <x86/ioapic.h>

// Registers, as distances from the port's base.
#define UART_DATA 0             // divisor, low byte, while UART_LINE_DIVISOR is set
#define UART_INTERRUPT_ENABLE 1 // divisor, high byte
#define UART_FIFO 2
#define UART_INTERRUPT_ID 2
#define UART_LINE_CONTROL 3
#define UART_MODEM_CONTROL 4
#define UART_LINE_STATUS 5
#define UART_SCRATCH 7

#define INTERRUPT_RECEIVED 0x01
#define INTERRUPT_TRANSMITTED 0x02
#define FIFO_ENABLE_CLEAR 0x07
#define UART_LINE_DIVISOR 0x80
#define MODEM_DTR_RTS 0x03
#define MODEM_OUT2 0x08 // connects the interrupt line
#define STATUS_DATA_READY 0x01
#define STATUS_TRANSMIT_EMPTY 0x20

#define COM1_PORT 0x3f8
#define COM2_PORT 0x2f8
#define COM1_IRQ 4
#define COM2_IRQ 3

#define QUEUE_SIZE 16384u
#define UART_CLOCK 115200u
#define FIFO_SIZE 16u
#define TRANSMIT_POLLS 100000u
#define FAILURES_ALLOWED 16u

static struct {
    uint16_t port; // 0: none
    uint8_t line_control;
    uint8_t interrupts; // enabled ones
    bool queued;        // output goes by interrupts
    bool synchronous;   // and never shall
    uint32_t baud;
    unsigned int failures; // bytes in a row that the device did not take
    void (*handler)(void);
} uart = {.line_control = 3, .baud = 115200};

// Output that waits for the transmit interrupt; absolute byte numbers.
static struct {
    uint32_t begin, end;
    char text[QUEUE_SIZE];
} queue;

static uint16_t chosen_port = COM1_PORT;

// A list, as in "com1,vga": the last name of ours counts, others are refused but do no harm.
static int parse_console(const char *value)
{
    static const struct {
        const char *name;
        uint16_t port;
    } choices[] = {{"com1", COM1_PORT}, {"com2", COM2_PORT}, {"none", 0}};
    int error = 0;

    while (*value) {
        const char *comma = strchr(value, ',');
        size_t length = comma ? (size_t)(comma - value) : strlen(value);
        bool known = false;

        for (size_t i = 0; i < ARRAY_SIZE(choices); i++) {
            if (strlen(choices[i].name) == length && !strncmp(value, choices[i].name, length)) {
                chosen_port = choices[i].port;
                known = true;
            }
        }
        error = known ? error : -XEN_EINVAL;
        value += length + (comma ? 1 : 0);
    }
    return error;
}

// Data bits, parity, stop bits, as in "8n1".
static int parse_format(const char *text, uint8_t *line_control)
{
    static const char parities[] = "noems";
    static const uint8_t parity_bits[] = {0x00, 0x08, 0x18, 0x28, 0x38};
    const char *parity;

    if (text[0] < '5' || text[0] > '8' || !text[1]) {
        return -XEN_EINVAL;
    }
    parity = strchr(parities, text[1]);
    if (!parity || (text[2] != '1' && text[2] != '2')) {
        return -XEN_EINVAL;
    }
    *line_control =
        (uint8_t)((text[0] - '5') | parity_bits[parity - parities] | (text[2] == '2' ? 4 : 0));
    return 0;
}

// BAUD[,FORMAT]; what may follow (I/O base, interrupt) names the standard port anyway.
static int parse_com(const char *value)
{
    const char *end;
    uint64_t baud = string_to_number(value, &end, 10);
    uint8_t line_control = uart.line_control;

    if (!strncmp(value, "auto", 4)) {
        baud = 115200;
        end = value + 4;
    }
    if (end == value || baud == 0 || baud > UART_CLOCK || (*end && *end != ',')) {
        return -XEN_EINVAL;
    }
    if (*end == ',' && parse_format(end + 1, &line_control)) {
        return -XEN_EINVAL;
    }
    uart.baud = (uint32_t)baud;
    uart.line_control = line_control;
    return 0;
}

CMDLINE_OPTION(console, .name = "console", .parse = parse_console);
CMDLINE_OPTION(com1, .name = "com1", .parse = parse_com);
CMDLINE_OPTION(com2, .name = "com2", .parse = parse_com);

static uint8_t uart_read(unsigned int reg)
{
    return port_read8((uint16_t)(uart.port + reg));
}

static void uart_write(unsigned int reg, uint8_t value)
{
    port_write8((uint16_t)(uart.port + reg), value);
}

bool serial_init(void)
{
    uint32_t divisor = UART_CLOCK / uart.baud;

    uart.port = chosen_port;
    if (!uart.port) {
        return false;
    }
    uart_write(UART_SCRATCH, 0x5a);
    if (uart_read(UART_SCRATCH) != 0x5a) {
        uart.port = 0;
        return false;
    }
    uart_write(UART_INTERRUPT_ENABLE, 0);
    uart_write(UART_LINE_CONTROL, UART_LINE_DIVISOR | uart.line_control);
    uart_write(UART_DATA, (uint8_t)divisor);
    uart_write(UART_INTERRUPT_ENABLE, (uint8_t)(divisor >> 8));
    uart_write(UART_LINE_CONTROL, uart.line_control);
    uart_write(UART_FIFO, FIFO_ENABLE_CLEAR);
    uart_write(UART_MODEM_CONTROL, MODEM_DTR_RTS | MODEM_OUT2);
    return true;
}

static bool wait_transmit_empty(void)
{
    for (unsigned int i = 0; i < TRANSMIT_POLLS; i++) {
        if (uart_read(UART_LINE_STATUS) & STATUS_TRANSMIT_EMPTY) {
            return true;
        }
    }
    return false;
}

// Sends up to a FIFO's worth when the device is ready; how many bytes went, or were lost because
// the device did not become ready.
static size_t send_burst(const char *text, size_t count)
{
    size_t burst = MIN(count, (size_t)FIFO_SIZE);

    if (uart.failures >= FAILURES_ALLOWED) {
        return count;
    }
    if (!wait_transmit_empty()) {
        uart.failures++;
        return 1;
    }
    uart.failures = 0;
    for (size_t i = 0; i < burst; i++) {
        uart_write(UART_DATA, (uint8_t)text[i]);
    }
    return burst;
}

static void send_now(const char *text, size_t count)
{
    while (count) {
        size_t sent = send_burst(text, count);

        text += sent;
        count -= sent;
    }
}

// Sends the oldest bytes of the queue, at most a FIFO's worth.
static void send_queued(void)
{
    uint32_t begin = queue.begin % QUEUE_SIZE;

    queue.begin += (uint32_t)send_burst(
        &queue.text[begin], MIN(queue.end - queue.begin, (uint32_t)(QUEUE_SIZE - begin)));
}

static void set_interrupts(bool transmitted)
{
    uint8_t enable = INTERRUPT_RECEIVED | (transmitted ? INTERRUPT_TRANSMITTED : 0);

    if (uart.interrupts != enable) {
        uart.interrupts = enable;
        uart_write(UART_INTERRUPT_ENABLE, enable);
    }
}

void serial_write(const char *text, size_t count)
{
    if (!uart.port) {
        return;
    }
    if (!uart.queued) {
        send_now(text, count);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (queue.end - queue.begin == QUEUE_SIZE) {
            send_queued();
        }
        queue.text[queue.end++ % QUEUE_SIZE] = text[i];
    }
    set_interrupts(queue.end != queue.begin); // the interrupt comes at once if the device is idle
}

void serial_service(void)
{
    if (!uart.port || !uart.queued) {
        return;
    }
    (void)uart_read(UART_INTERRUPT_ID);
    if (queue.end != queue.begin && (uart_read(UART_LINE_STATUS) & STATUS_TRANSMIT_EMPTY)) {
        send_queued();
    }
    set_interrupts(queue.end != queue.begin);
}

static void handle_interrupt(void *data)
{
    (void)data;
    uart.handler();
}

bool serial_use_interrupts(void (*handler)(void))
{
    uint32_t gsi;
    bool level, active_low;

    if (!uart.port) {
        return true; // no port has no input to poll for
    }
    uart.handler = handler;
    acpi_isa_irq_to_gsi(uart.port == COM1_PORT ? COM1_IRQ : COM2_IRQ, &gsi, &level, &active_low);
    if (ioapic_bind(gsi, level, active_low, handle_interrupt, NULL)) {
        return false;
    }
    ioapic_reserve(gsi);
    set_interrupts(false);
    uart.queued = !uart.synchronous;
    return true;
}

void serial_make_synchronous(void)
{
    uart.synchronous = true;
    uart.queued = false;
    while (queue.end != queue.begin) {
        send_queued();
    }
    if (uart.port && uart.interrupts) {
        set_interrupts(false);
    }
}

size_t serial_read(char *buffer, size_t size)
{
    size_t n = 0;

    if (!uart.port) {
        return 0;
    }
    while (n < size && (uart_read(UART_LINE_STATUS) & STATUS_DATA_READY)) {
        buffer[n++] = (char)uart_read(UART_DATA);
    }
    return n;
}
