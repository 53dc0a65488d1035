// SPDX-License-Identifier: Apache-2.0
//
// The process that builds or ends a domain, so that the supervisor goes on looking at the others
// meanwhile. It opens its own connections, for those of its parent do not survive a fork, and
// writes one line into a pipe before it ends: the domain's id, or what went wrong.
#include "bulkheadd.h"

#include <toolstack/create.h>
#include <toolstack/device.h>
#include <toolstack/memory.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RESULT_SIZE = 1024 };

// Whether the domain is there; its id may be another's meanwhile.
static bool is_there(struct toolstack *toolstack, const struct supervised *domain)
{
    domain_info info;
    struct error *error = domain_get_info(toolstack, domain->domid, &info);
    char *name = error ? NULL : domain_name(toolstack, domain->domid);
    bool there = name && !(info.flags & XEN_DOMINF_dying) && !strcmp(name, domain->launch->name);

    error_ignore(error);
    free(name);
    return there;
}

// Takes the functions' drivers off, where this domain has them at all.
static struct error *let_go(const struct domain_config *config)
{
    for (size_t i = 0; i < config->function_count; i++) {
        struct error *error = pci_make_assignable(&config->functions[i]);

        if (error && error->code != ERROR_NO_DEVICE)
            return error;
        error_ignore(error);
    }
    return NULL;
}

static struct error *work(const struct supervised *domain, bool build, unsigned int *domid)
{
    struct toolstack toolstack = {0};
    struct domain_config config = domain->launch->config;

    if (domain->domid && is_there(&toolstack, domain))
        error_ignore(domain_destroy(&toolstack, domain->domid));
    else if (domain->domid)
        error_ignore(devices_orphan(&toolstack, domain->domid));
    if (!build)
        return NULL;
    // The clients of a driver domain know it by its id. One that never had any gets its devices
    // from this domain now; later they are nobody's, and are given to it again.
    if (domain->domid)
        config.domid = domain->domid;
    else
        TRY(let_go(&config));
    TRY(domain_create(&toolstack, &config, domid));
    return domain_unpause(&toolstack, *domid);
}

static void tell(int output, const char *text)
{
    size_t size = strlen(text);

    if (write(output, text, size) != (ssize_t)size)
        _exit(2);
}

static void run(const struct supervised *domain, bool build, int output)
{
    unsigned int domid = domain->domid;
    struct error *error = work(domain, build, &domid);
    char *line = error ? memory_format("%s%s%s", error->device ? error->device : "",
                                       error->device ? ": " : "", error->message)
                       : memory_format("%u", domid);

    if (error)
        error_print(error, stderr, "bulkheadd: ");
    line[strnlen(line, RESULT_SIZE - 1)] = '\0';
    tell(output, line);
    _exit(error ? 1 : 0);
}

struct error *worker_start(struct supervised *domain, bool build)
{
    int ends[2];

    if (pipe(ends) != 0)
        return error_errno(ERROR_SYSTEM, errno, "cannot make a pipe");
    fflush(NULL);
    domain->worker_pid = fork();
    if (domain->worker_pid == 0)
        run(domain, build, ends[1]);
    int number = errno;

    close(ends[1]);
    if (domain->worker_pid > 0) {
        domain->worker = (int)syscall(SYS_pidfd_open, domain->worker_pid, 0);
        domain->worker_output = ends[0];
        return NULL;
    }
    close(ends[0]);
    return error_errno(ERROR_SYSTEM, number, "cannot start a process");
}

bool worker_result(struct supervised *domain, unsigned int *domid, char **message)
{
    char text[RESULT_SIZE] = "";
    int status = 0;

    waitpid(domain->worker_pid, &status, 0);
    ssize_t size = read(domain->worker_output, text, sizeof(text) - 1);

    close(domain->worker_output);
    close(domain->worker);
    domain->worker = -1;
    *message = NULL;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        *domid = (unsigned int)strtoul(text, NULL, 10);
        return true;
    }
    *message = memory_copy_text(size > 0 ? text : "the process that builds it was killed");
    return false;
}
