// SPDX-License-Identifier: Apache-2.0
//
// xl top: what each domain uses, again and again. Percentages are of one processor over the time
// since the last look. It is left with q or an interrupt; -b prints without moving the cursor.
#include "xl.h"

#include <toolstack/host.h>
#include <toolstack/loop.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

struct sample {
    domain_info *list;
    size_t count;
    int64_t milliseconds;
};

static struct error *take_sample(struct xl *xl, struct sample *sample)
{
    free(sample->list);
    sample->list = NULL;
    TRY(domain_list(&xl->toolstack, &sample->list, &sample->count));
    sample->milliseconds = loop_now();
    return NULL;
}

// Nanoseconds of processor time that a domain has used since the earlier sample; 0 if it is new.
static uint64_t used(const struct sample *earlier, const domain_info *info)
{
    for (size_t i = 0; i < earlier->count; i++)
        if (earlier->list[i].domain == info->domain && earlier->list[i].cpu_time <= info->cpu_time)
            return info->cpu_time - earlier->list[i].cpu_time;
    return 0;
}

static void print_sample(struct xl *xl, const struct sample *earlier, const struct sample *now,
                         uint64_t total_pages)
{
    int64_t elapsed = now->milliseconds - earlier->milliseconds;

    puts("      NAME  STATE   CPU(sec) CPU(%)     MEM(k) MEM(%)  VCPUS");
    for (size_t i = 0; i < now->count; i++) {
        const domain_info *info = &now->list[i];
        char *name = xl_name(xl, info->domain);
        double percent = elapsed > 0 ? (double)used(earlier, info) / 1e4 / (double)elapsed : 0;

        printf("%10.10s %c%c%c%c%c%c %10.0f %6.1f %10lu %6.1f %6u\n", name,
               info->flags & XEN_DOMINF_dying ? 'd' : '-',
               info->flags & XEN_DOMINF_shutdown ? 's' : '-',
               info->flags & XEN_DOMINF_blocked ? 'b' : '-',
               info->flags & XEN_DOMINF_paused ? 'p' : '-', '-',
               info->flags & XEN_DOMINF_running ? 'r' : '-', (double)info->cpu_time / 1e9, percent,
               (unsigned long)info->tot_pages * 4,
               100.0 * (double)info->tot_pages / (double)total_pages, info->nr_online_vcpus);
        free(name);
    }
}

// Waits for the delay; true when the person wants to leave.
static bool wait_or_quit(long milliseconds)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    char key;

    fflush(stdout);
    if (poll(&input, 1, (int)milliseconds) <= 0)
        return false;
    return read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q' || key == 3;
}

struct top_options {
    bool batch;
    long delay; // milliseconds
    long iterations;
};

static struct error *run_top(struct xl *xl, const struct top_options *options)
{
    struct xen_sysctl_physinfo physical = {0};
    struct sample samples[2] = {{0}};
    struct error *error = host_get_physical(&xl->toolstack, &physical);
    struct pollfd nothing = {.fd = -1};

    if (!error)
        error = take_sample(xl, &samples[0]);
    for (long i = 0; !error && i != options->iterations; i++) {
        struct sample *earlier = &samples[i % 2];
        struct sample *now = &samples[(i + 1) % 2];

        if (options->batch)
            poll(&nothing, 1, (int)options->delay);
        else if (wait_or_quit(i ? options->delay : 100))
            break;
        error = take_sample(xl, now);
        if (error)
            break;
        if (!options->batch)
            fputs("\033[H\033[J", stdout);
        print_sample(xl, earlier, now, physical.total_pages);
    }
    free(samples[0].list);
    free(samples[1].list);
    return error;
}

COMMAND(top)
{
    static const struct option longs[] = {{"batch", no_argument, NULL, 'b'},
                                          {"delay", required_argument, NULL, 'd'},
                                          {"iterations", required_argument, NULL, 'i'},
                                          {"help", no_argument, NULL, 'h'},
                                          END_OF_OPTIONS};
    struct top_options options = {.delay = 3000, .iterations = -1};
    struct termios saved;
    int option;

    while ((option = xl_option(xl, argc, argv, "hbd:i:", longs)) >= 0) {
        options.batch |= option == 'b';
        if (option == 'd')
            options.delay = strtol(optarg, NULL, 10) * 1000;
        else if (option == 'i')
            options.iterations = strtol(optarg, NULL, 10);
    }
    TRY(xl_expect_arguments(xl, argc, 0, 0));
    if (options.delay < 100 || options.delay > 86400000)
        return xl_misused(xl, "the delay is at least one second");
    bool terminal = !options.batch && tcgetattr(STDIN_FILENO, &saved) == 0;

    if (terminal) {
        struct termios raw = saved;

        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    struct error *error = run_top(xl, &options);

    if (terminal)
        tcsetattr(STDIN_FILENO, TCSANOW, &saved);
    return error;
}
