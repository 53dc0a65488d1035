// SPDX-License-Identifier: Apache-2.0
//
// Load that notices every loss, for scenarios that kill a driver domain under it. "disk": processes
// write random blocks of a device past the page cache and read others back, each with a pattern of
// its own place and generation. "listen" and "connect": one TCP connection on which a counter and a
// block of bytes go to and fro. All run until the file /tmp/stop exists, then say in one line what
// they have done, what was wrong, and the longest time that one step took, which is the outage.
// Anything wrong is said at once, and the exit status is 1.
#define _GNU_SOURCE // O_DIRECT
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS = 4, BLOCK = 65536, BLOCKS = 64, PORT = 7000, MESSAGE = 6000 };

struct report {
    unsigned long done;
    unsigned long checked;
    unsigned long wrong;
    unsigned long errors;
    long longest; // milliseconds
};

static long now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static int stopped(void)
{
    return access("/tmp/stop", F_OK) == 0;
}

static void fill(uint64_t *words, size_t bytes, uint64_t seed)
{
    for (size_t i = 0; i < bytes / sizeof(*words); i++)
        words[i] = seed * 0x9e3779b97f4a7c15u + i;
}

static void note(struct report *report, long begin)
{
    long took = now() - begin;

    if (took > report->longest)
        report->longest = took;
}

static void check_block(int disk, uint64_t *words, unsigned int worker, unsigned int block,
                        uint64_t generation, struct report *report)
{
    static uint64_t wanted[BLOCK / sizeof(uint64_t)];
    long begin = now();

    if (pread(disk, words, BLOCK, (off_t)(worker * BLOCKS + block) * BLOCK) != BLOCK) {
        printf("disk: cannot read block %u of worker %u: %s\n", block, worker, strerror(errno));
        report->errors++;
    }
    note(report, begin);
    fill(wanted, BLOCK, generation << 16 | worker << 8 | block);
    if (memcmp(words, wanted, BLOCK) != 0) {
        printf("disk: block %u of worker %u is not what was written\n", block, worker);
        report->wrong++;
    }
    report->checked++;
}

static void load_disk(const char *path, unsigned int worker, struct report *report)
{
    int disk = open(path, O_RDWR | O_DIRECT);
    uint64_t generations[BLOCKS] = {0};
    uint64_t *words = aligned_alloc(4096, BLOCK);
    unsigned int seed = worker + 1;

    if (disk < 0)
        report->errors++;
    while (disk >= 0 && !stopped()) {
        unsigned int block = (unsigned int)rand_r(&seed) % BLOCKS;
        long begin = now();

        fill(words, BLOCK, ++generations[block] << 16 | worker << 8 | block);
        if (pwrite(disk, words, BLOCK, (off_t)(worker * BLOCKS + block) * BLOCK) != BLOCK) {
            printf("disk: cannot write: %s\n", strerror(errno));
            report->errors++;
        }
        if (++report->done % 16 == 0 && fdatasync(disk) != 0)
            report->errors++;
        note(report, begin);
        block = (unsigned int)rand_r(&seed) % BLOCKS;
        if (generations[block])
            check_block(disk, words, worker, block, generations[block], report);
        usleep(2000);
    }
    for (unsigned int block = 0; disk >= 0 && block < BLOCKS; block++)
        if (generations[block])
            check_block(disk, words, worker, block, generations[block], report);
}

static struct report load_disk_by_all(const char *path)
{
    struct report total = {0};
    int results[2];

    if (pipe(results) != 0)
        exit(2);
    for (unsigned int worker = 0; worker < WORKERS; worker++) {
        if (fork() != 0)
            continue;
        struct report report = {0};

        load_disk(path, worker, &report);
        fflush(stdout);
        _exit(write(results[1], &report, sizeof(report)) != sizeof(report));
    }
    for (unsigned int worker = 0; worker < WORKERS; worker++) {
        struct report report = {.errors = 1};

        if (read(results[0], &report, sizeof(report)) != sizeof(report))
            exit(2);
        total.done += report.done;
        total.checked += report.checked;
        total.wrong += report.wrong;
        total.errors += report.errors;
        total.longest = report.longest > total.longest ? report.longest : total.longest;
    }
    while (wait(NULL) > 0)
        ;
    return total;
}

static int transfer_all(int connection, uint64_t *words, int sending)
{
    for (size_t done = 0; done < MESSAGE;) {
        char *at = (char *)words + done;
        ssize_t size = sending ? send(connection, at, MESSAGE - done, MSG_NOSIGNAL)
                               : recv(connection, at, MESSAGE - done, 0);

        if (size <= 0)
            return 0;
        done += (size_t)size;
    }
    return 1;
}

// The one who connects begins; both count.
static struct report load_connection(int connection, int first)
{
    struct report report = {0};
    uint64_t words[MESSAGE / sizeof(uint64_t)];
    uint64_t wanted[MESSAGE / sizeof(uint64_t)];

    for (uint64_t count = 0; !(first && stopped()); count++) {
        long begin = now();

        fill(wanted, MESSAGE, count);
        memcpy(words, wanted, MESSAGE);
        if (first && !transfer_all(connection, words, 1))
            report.errors++;
        else if (!transfer_all(connection, words, 0)) {
            // The other one has had enough.
            report.errors += first;
            break;
        }
        if (memcmp(words, wanted, MESSAGE) != 0)
            report.wrong++;
        if (!first && !transfer_all(connection, words, 1))
            report.errors++;
        if (report.errors)
            break;
        report.done++;
        report.checked++;
        note(&report, begin);
        if (first)
            usleep(5000);
    }
    if (report.errors)
        printf("tcp: the connection broke: %s\n", strerror(errno));
    close(connection);
    return report;
}

static struct report converse(const char *address)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    int connection = socket(AF_INET, SOCK_STREAM, 0);
    int yes = 1;
    struct report failed = {.errors = 1};

    setsockopt(connection, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (address) {
        inet_pton(AF_INET, address, &name.sin_addr);
        return connect(connection, (void *)&name, sizeof(name)) == 0
                   ? load_connection(connection, 1)
                   : failed;
    }
    if (bind(connection, (void *)&name, sizeof(name)) != 0 || listen(connection, 1) != 0)
        return failed;
    connection = accept(connection, NULL, NULL);
    return connection >= 0 ? load_connection(connection, 0) : failed;
}

int main(int argc, char **argv)
{
    struct report report;

    if (argc == 3 && !strcmp(argv[1], "disk")) {
        report = load_disk_by_all(argv[2]);
    } else if (argc == 2 && !strcmp(argv[1], "listen")) {
        report = converse(NULL);
    } else if (argc == 3 && !strcmp(argv[1], "connect")) {
        report = converse(argv[2]);
    } else {
        fputs("Usage: verified_load disk DEVICE | listen | connect ADDRESS\n", stderr);
        return 2;
    }
    printf("%s: %lu done, %lu checked, %lu wrong, %lu errors, longest %ld ms\n", argv[1],
           report.done, report.checked, report.wrong, report.errors, report.longest);
    return report.wrong || report.errors || !report.done;
}
