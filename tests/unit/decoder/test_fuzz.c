// SPDX-License-Identifier: Apache-2.0
/*
 * Runs the fuzzers of the decoder and the emulator for a while, side by side: whatever they find
 * fails here. Their logs and findings stay beside the programs. The programs' directory and the
 * seconds come from the environment (FUZZ_DIRECTORY, FUZZ_SECONDS).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define FUZZERS 2

static const char *const names[FUZZERS] = {"fuzz_decoder", "fuzz_decoder_mmio"};
static pid_t children[FUZZERS];

static const char *environment(const char *name, const char *otherwise)
{
    const char *value = getenv(name);

    return value ? value : otherwise;
}

/* Become the fuzzer; returns only if that fails. */
static void become(const char *directory, const char *name, const char *log)
{
    char program[4096], artifacts[4096], seconds[64];
    int descriptor = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    snprintf(program, sizeof(program), "%s/%s", directory, name);
    snprintf(artifacts, sizeof(artifacts), "-artifact_prefix=%s/%s-", directory, name);
    snprintf(seconds, sizeof(seconds), "-max_total_time=%s", environment("FUZZ_SECONDS", "18"));
    dup2(descriptor, STDOUT_FILENO);
    dup2(descriptor, STDERR_FILENO);
    execl(program, program, "-max_len=220", "-print_final_stats=1", seconds, artifacts, NULL);
}

static void log_name(char *out, size_t size, int number)
{
    snprintf(out, size, "%s/%s.log", environment("FUZZ_DIRECTORY", "."), names[number]);
}

static int group_setup(void **state)
{
    char log[4096];

    (void)state;
    for (int i = 0; i < FUZZERS; i++) {
        log_name(log, sizeof(log), i);
        children[i] = fork();
        if (children[i] == 0) {
            become(environment("FUZZ_DIRECTORY", "."), names[i], log);
            _exit(127);
        }
        if (children[i] < 0) {
            return -1;
        }
    }
    return 0;
}

/* Show what the fuzzer says of its run: the number of inputs, or the whole finding. */
static void show(int number, bool everything)
{
    char path[4096], line[1024];
    FILE *log;

    log_name(path, sizeof(path), number);
    log = fopen(path, "r");
    while (log && fgets(line, sizeof(line), log)) {
        if (everything && line[0] != '#') {
            print_error("%s", line);
        } else if (strstr(line, "number_of_executed_units")) {
            print_message("%s: %s", names[number], line);
        }
    }
    if (log) {
        fclose(log);
    }
}

static void test_fuzzer(void **state)
{
    int number = (int)(intptr_t)*state, status = -1;

    assert_int_equal(waitpid(children[number], &status, 0), children[number]);
    show(number, status != 0);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[FUZZERS] = {
        {"fuzz_decoder", test_fuzzer, NULL, NULL, (void *)0},
        {"fuzz_decoder_mmio", test_fuzzer, NULL, NULL, (void *)1},
    };

    return cmocka_run_group_tests_name("fuzzers", tests, group_setup, NULL);
}
