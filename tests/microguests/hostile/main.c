// SPDX-License-Identifier: Apache-2.0
// Guests that mean harm. Words of the command line: mode=NAME, seed=N (0 or none: from the clock),
// count=N (steps, 0: without end), partners=FIRST-LAST (domids that grants and channels go to; by
// default those near the own one). The seed is printed, and the same seed makes the same arguments.
// A mode that ends prints "hostile: done". State: one random sequence for each vcpu.

#include "hostile.h"

static const struct {
    const char *name;
    void (*run)(void);
} modes[] = {
    {"hypercalls", storm_hypercalls},
    {"grants", abuse_grants},
    {"storm", storm_events},
    {"instructions", run_instructions},
    {"user", run_user_instructions},
    {"registers", touch_registers},
    {"configuration", touch_configuration},
    {"chaos", run_chaos},
    {"nothing", run_into_nothing},
};

struct options options;

static uint64_t states[MAX_VCPUS];

void random_start(void)
{
    states[this_vcpu()->index] = options.seed + this_vcpu()->index * 0x9e3779b97f4a7c15ul;
    for (unsigned int i = 0; i < 8; i++) {
        random64();
    }
}

// xorshift64*, by Marsaglia and Vigna.
uint64_t random64(void)
{
    uint64_t *state = &states[this_vcpu()->index];

    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    if (!*state) {
        *state = 1;
    }
    return *state * 0x2545f4914f6cdd1dul;
}

uint64_t random_below(uint64_t limit)
{
    return limit ? (random64() >> 8) % limit : 0;
}

bool random_once_in(unsigned int n)
{
    return random_below(n) == 0;
}

uint64_t random_number(void)
{
    switch (random_below(8)) {
    case 0:
        return random64();
    case 1:
        return (1ul << random_below(64)) + random_below(3) - 1;
    case 2:
        return -random_below(4);
    default:
        return random_below(40);
    }
}

unsigned long arena_gfn(unsigned int page)
{
    return (unsigned long)arena[page % ARENA_PAGES] / PAGE_SIZE;
}

domid_t own_domid(void)
{
    struct cpuid leaf = cpuid(xen_cpuid_base + 4, 0);

    return (leaf.eax & 0x10) ? (domid_t)leaf.ecx : 0;
}

domid_t random_partner(void)
{
    unsigned int number = options.last_partner - options.first_partner + 1u;

    return (domid_t)(options.first_partner + random_below(number));
}

bool finished(uint64_t step)
{
    if (options.count && step && step % (options.count / 100 + 1) == 0) {
        say("hostile: %lu steps", step);
    }
    return options.count && step >= options.count;
}

static uint64_t number_at(const char **text)
{
    uint64_t value = 0;

    while (**text >= '0' && **text <= '9') {
        value = value * 10 + (uint64_t)(*(*text)++ - '0');
    }
    return value;
}

static uint64_t option_number(const char *name, uint64_t otherwise)
{
    const char *text = command_line_value(name);

    return text ? number_at(&text) : otherwise;
}

static void read_options(void)
{
    const char *text = command_line_value("partners");
    domid_t self = own_domid();

    options.first_partner = self > 2 ? self - 2 : 1;
    options.last_partner = self + 2;
    if (text) {
        options.first_partner = (domid_t)number_at(&text);
        text += *text == '-';
        options.last_partner = (domid_t)number_at(&text);
    }
    options.seed = option_number("seed", 0);
    if (!options.seed) {
        options.seed = rdtsc() | 1;
    }
    options.count = option_number("count", 10000);
    random_start();
}

void program(void)
{
    const char *mode;

    read_options();
    mode = command_line_value("mode");
    for (unsigned int i = 0; mode && i < ARRAY_SIZE(modes); i++) {
        if (string_equal(mode, modes[i].name)) {
            say("hostile: domain %u, mode %s, seed=%lu, count=%lu", own_domid(), mode, options.seed,
                options.count);
            modes[i].run();
            say("hostile: done");
            return;
        }
    }
    say("hostile: no mode is chosen");
}
