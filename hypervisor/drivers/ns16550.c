// SPDX-License-Identifier: Apache-2.0
// The NS16550 serial port at one of the PC's two places. All functions are called with the
// console's lock held; the interrupt handler runs console_interrupt, which takes it too. Output
// waits for the device by a bounded poll: a port that never becomes ready is given up after a few
// bytes, so that a missing port costs little.

#include <bulkhead/cmdline.h>
#include <bulkhead/console.h>
#include <bulkhead/serial.h>
#include <bulkhead/string.h>
#include <xen/errno.h>
#include <x86/io_port.h>

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

#define UART_CLOCK 115200u
#define FIFO_SIZE 16u
#define TRANSMIT_POLLS 100000u
#define FAILURES_ALLOWED 16u

static struct {
    uint16_t port; // 0: none
    uint8_t line_control;
    uint32_t baud;
    unsigned int failures; // bytes in a row that the device did not take
} uart = {.line_control = 3, .baud = 115200};

static uint16_t chosen_port = 0x3f8;

static int parse_console(const char *value)
{
    if (!strcmp(value, "com1")) {
        chosen_port = 0x3f8;
    } else if (!strcmp(value, "com2")) {
        chosen_port = 0x2f8;
    } else if (!strcmp(value, "none")) {
        chosen_port = 0;
    } else {
        return -XEN_EINVAL;
    }
    return 0;
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

void serial_write(const char *text, size_t count)
{
    size_t done = 0;

    if (!uart.port) {
        return;
    }
    while (done < count && uart.failures < FAILURES_ALLOWED) {
        size_t burst = MIN(count - done, (size_t)FIFO_SIZE);

        if (!wait_transmit_empty()) {
            uart.failures++;
            done++;
            continue;
        }
        uart.failures = 0;
        for (size_t i = 0; i < burst; i++) {
            uart_write(UART_DATA, (uint8_t)text[done + i]);
        }
        done += burst;
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
