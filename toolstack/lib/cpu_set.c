// SPDX-License-Identifier: Apache-2.0
//
// Sets of processors and their text. A set owns its bits. Parsing changes the set only as far as
// the text goes before an error; callers drop it then.
#include <toolstack/host.h>
#include <toolstack/memory.h>

#include <stdlib.h>
#include <string.h>

void cpu_set_make(struct cpu_set *set, unsigned int count)
{
    set->count = count;
    set->bits = memory_zeroed((count + 7) / 8);
}

void cpu_set_free(struct cpu_set *set)
{
    free(set->bits);
    *set = (struct cpu_set){0};
}

bool cpu_set_has(const struct cpu_set *set, unsigned int cpu)
{
    return cpu < set->count && set->bits[cpu / 8] >> (cpu % 8) & 1;
}

void cpu_set_add(struct cpu_set *set, unsigned int cpu)
{
    if (cpu < set->count)
        set->bits[cpu / 8] |= (uint8_t)(1u << (cpu % 8));
}

static void cpu_set_remove(struct cpu_set *set, unsigned int cpu)
{
    set->bits[cpu / 8] &= (uint8_t) ~(1u << (cpu % 8));
}

bool cpu_set_is_full(const struct cpu_set *set)
{
    for (unsigned int cpu = 0; cpu < set->count; cpu++)
        if (!cpu_set_has(set, cpu))
            return false;
    return true;
}

bool cpu_set_is_empty(const struct cpu_set *set)
{
    for (unsigned int cpu = 0; cpu < set->count; cpu++)
        if (cpu_set_has(set, cpu))
            return false;
    return true;
}

// Reads "N" or "N-M" at *text and moves it past.
static bool parse_range(const char **text, unsigned long *first, unsigned long *last)
{
    char *end;

    if (**text < '0' || **text > '9')
        return false;
    *first = *last = strtoul(*text, &end, 10);
    if (*end == '-') {
        const char *second = end + 1;

        if (*second < '0' || *second > '9')
            return false;
        *last = strtoul(second, &end, 10);
    }
    *text = end;
    return *first <= *last;
}

// One item of the list: "all", a range, or either after '^'.
static struct error *parse_item(struct cpu_set *set, const char **text, const char *whole)
{
    unsigned long first = 0;
    unsigned long last = set->count - 1;
    bool without = **text == '^';

    *text += without;
    if (!strncmp(*text, "all", 3))
        *text += 3;
    else if (!parse_range(text, &first, &last))
        return error_advice(error_new(ERROR_VALUE, "\"%s\" is no list of processors", whole),
                            "Write numbers and ranges with commas, as in 0-3,^2; or all, or none.");
    if (last >= set->count)
        return error_new(ERROR_VALUE, "processor %lu is not there: they are numbered 0 to %u", last,
                         set->count - 1);
    for (unsigned long cpu = first; cpu <= last; cpu++)
        if (without)
            cpu_set_remove(set, (unsigned int)cpu);
        else
            cpu_set_add(set, (unsigned int)cpu);
    return NULL;
}

struct error *cpu_set_parse(struct cpu_set *set, const char *text)
{
    const char *rest = text;

    memset(set->bits, 0, (set->count + 7) / 8);
    if (!strcmp(text, "none"))
        return NULL;
    // Taking out only makes sense from all.
    if (*text == '^')
        for (unsigned int cpu = 0; cpu < set->count; cpu++)
            cpu_set_add(set, cpu);
    for (;;) {
        TRY(parse_item(set, &rest, text));
        if (!*rest)
            return NULL;
        if (*rest++ != ',')
            return error_new(ERROR_VALUE, "\"%s\" is no list of processors", text);
    }
}

char *cpu_set_format(const struct cpu_set *set, unsigned int count)
{
    struct text text = {0};
    unsigned int held = 0;

    for (unsigned int cpu = 0; cpu < count; cpu++)
        held += cpu_set_has(set, cpu);
    if (held == count)
        return memory_copy_text("all");
    if (!held)
        return memory_copy_text("none");
    for (unsigned int first = 0; first < count; first++) {
        unsigned int last = first;

        if (!cpu_set_has(set, first))
            continue;
        while (cpu_set_has(set, last + 1))
            last++;
        text_add(&text, "%s%u", text.length ? "," : "", first);
        if (last > first)
            text_add(&text, "-%u", last);
        first = last;
    }
    return text_take(&text);
}
