// SPDX-License-Identifier: Apache-2.0
// The owner of an edu device, which it orders about. Words of the command line: mode=NAME and
//   attack     tries to reach hypervisor=ADDRESS and victim=ADDRESS (machine addresses, decimal), a
//              page that it gives back, and its own memory; says what came of each
//   messages   writes count=N interrupt messages by DMA, form=amd or intel, as a device would
//   interrupts says how many interrupts of the device have come, whenever one has
//   stream     has the device write to one of its pages for ever
//   hold       has no device; keeps a page with its pattern
// What is written is a pattern of 64 bytes with a number (seed=N of hold and stream), which the
// scenario can look for in the machine's memory: after an attack it must be nowhere. State: the
// program's own pages; one vcpu.
#include "apic.h"
#include "edu.h"
#include "guest.h"
#include "interrupts.h"
#include "pci.h"
#include "print.h"
#include "xen.h"

#define PATTERN_WORDS 8u
#define PATTERN_SIZE (PATTERN_WORDS * 8u)
#define UNTOUCHED 0x1122334455667788ul
#define VECTOR 0x60

struct page {
    volatile uint64_t words[PAGE_SIZE / 8];
} __attribute__((aligned(4096)));

static struct page source, target, given_back;
static volatile uint32_t interrupts;
static unsigned int device; // its number on the bus

static uint64_t pattern_word(unsigned int number, unsigned int i)
{
    return 0x9e3779b97f4a7c15ul * (number + 1) ^ 0xbf58476d1ce4e5b9ul * (i + 1);
}

static void write_pattern(struct page *page, unsigned int number)
{
    for (unsigned int i = 0; i < PATTERN_WORDS; i++) {
        page->words[i] = pattern_word(number, i);
    }
}

static bool has_pattern(const struct page *page, unsigned int number)
{
    for (unsigned int i = 0; i < PATTERN_WORDS; i++) {
        if (page->words[i] != pattern_word(number, i)) {
            return false;
        }
    }
    return true;
}

// The pattern is in the device and no longer in memory.
static bool load_pattern(unsigned int number)
{
    write_pattern(&source, number);
    if (!edu_transfer((uint64_t)&source, PATTERN_SIZE, false)) {
        return false;
    }
    for (unsigned int i = 0; i < PATTERN_WORDS; i++) {
        source.words[i] = 0;
    }
    return true;
}

static void say_own_memory(void)
{
    target.words[0] = 0;
    load_pattern(0);
    edu_transfer((uint64_t)&target, PATTERN_SIZE, true);
    say("dma: own memory: %s", has_pattern(&target, 0) ? "reached" : "not reached");
    target.words[0] = 0;
}

// What is in the device's buffer after it has been told to read there.
static uint64_t read_from(uint64_t address)
{
    source.words[0] = UNTOUCHED;
    edu_transfer((uint64_t)&source, 8, false);
    edu_transfer(address, 8, false);
    target.words[0] = 0;
    edu_transfer((uint64_t)&target, 8, true);
    return target.words[0];
}

static void attack(const char *what, unsigned int number)
{
    uint64_t address = command_line_number(what);

    say("dma: read %s: %lx", what, read_from(address));
    load_pattern(number);
    edu_transfer(address, PATTERN_SIZE, true);
    say("dma: written %s", what);
}

static long change_reservation(unsigned int operation, const struct page *page)
{
    xen_pfn_t frame = (unsigned long)page / PAGE_SIZE;
    struct xen_memory_reservation request = {.nr_extents = 1, .domid = DOMID_SELF};

    set_xen_guest_handle(request.extent_start, &frame);
    return hypercall2(__HYPERVISOR_memory_op, operation, &request);
}

// The page goes while the device is on its way to it, and is tried again afterwards.
static void attack_given_back(unsigned int number)
{
    edu_transfer((uint64_t)&given_back, PATTERN_SIZE, true);
    load_pattern(number);
    edu_order((uint64_t)&given_back, PATTERN_SIZE, true);
    if (change_reservation(XENMEM_decrease_reservation, &given_back) != 1) {
        say("dma: a page cannot be given back");
        return;
    }
    edu_wait();
    say("dma: written to a page given back meanwhile");
    edu_transfer((uint64_t)&given_back, PATTERN_SIZE, true);
    say("dma: written to a page given back before");
    say("dma: read from a page given back: %lx", read_from((uint64_t)&given_back));
    change_reservation(XENMEM_populate_physmap, &given_back);
    say("dma: the page that came instead: %s",
        has_pattern(&given_back, number) ? "was written" : "is another");
    load_pattern(0);
    edu_transfer((uint64_t)&given_back, PATTERN_SIZE, true);
    say("dma: that page: %s", has_pattern(&given_back, 0) ? "reached" : "not reached");
}

static void run_attack(void)
{
    say_own_memory();
    attack("hypervisor", 1);
    attack("victim", 2);
    attack_given_back(3);
    say_own_memory();
}

static void run_messages(void)
{
    const char *form = command_line_value("form");
    bool intel = form && string_equal(form, "intel");
    unsigned long count = command_line_number("count");

    for (unsigned long i = 0; i < count; i++) {
        source.words[0] = intel ? 0 : i;
        edu_transfer((uint64_t)&source, 4, false);
        edu_transfer(0xfee00000ul | (intel ? 0x10 | i << 5 : 0), 4, true);
    }
    say_own_memory();
}

static void count_interrupt(void)
{
    interrupts++;
    edu_end_interrupt();
    apic_write(APIC_EOI, 0);
}

static void run_interrupts(void)
{
    uint32_t said = 0;

    apic_enable();
    interrupt_set_handler(VECTOR, count_interrupt);
    if (!pci_enable_msi(device, VECTOR)) {
        say("dma: the device can send no messages");
        return;
    }
    edu_raise_interrupt();
    for (;;) {
        if (interrupts != said) {
            said = interrupts;
            say("dma: interrupt %u", said);
        }
        wait_for_interrupt();
    }
}

static void run_stream(void)
{
    unsigned int number = (unsigned int)command_line_number("seed");
    bool said = false;

    load_pattern(number);
    while (edu_transfer((uint64_t)&target, PATTERN_SIZE, true)) {
        if (!said && has_pattern(&target, number)) {
            say("dma: streams to %lx", (uint64_t)&target);
            said = true;
        }
    }
    say("dma: the device does not finish");
}

static void run_hold(void)
{
    write_pattern(&target, (unsigned int)command_line_number("seed"));
    say("dma: holds a page");
    for (;;) {
        wait_for_interrupt();
    }
}

static const struct {
    const char *name;
    void (*run)(void);
    bool without_device;
} modes[] = {
    {.name = "attack", .run = run_attack},
    {.name = "messages", .run = run_messages},
    {.name = "interrupts", .run = run_interrupts},
    {.name = "stream", .run = run_stream},
    {.name = "hold", .run = run_hold, .without_device = true},
};

void program(void)
{
    const char *mode = command_line_value("mode");
    unsigned int i = 0;

    while (i < ARRAY_SIZE(modes) && !(mode && string_equal(mode, modes[i].name))) {
        i++;
    }
    if (i == ARRAY_SIZE(modes)) {
        say("dma: no mode is chosen");
        return;
    }
    device = modes[i].without_device ? 0 : edu_start();
    if (!device && !modes[i].without_device) {
        say("dma: there is no edu device");
        return;
    }
    modes[i].run();
    say("dma: done");
}
