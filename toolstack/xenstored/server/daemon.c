// SPDX-License-Identifier: Apache-2.0
//
// Daemon matters (daemon.h). The foreground process waits at a pipe whose other end the background
// process closes when it is ready, so that who starts the server may connect at once afterwards.

#include "daemon.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 128

static int ready_pipe = -1;

static bool somebody_answers(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool answers = fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0;

    if (fd >= 0) {
        close(fd);
    }
    return answers;
}

static void make_folder(const char *path)
{
    char copy[sizeof(((struct sockaddr_un *)0)->sun_path)];

    snprintf(copy, sizeof(copy), "%s", path);
    if (mkdir(dirname(copy), 0755) != 0 && errno != EEXIST) {
        log_line("cannot make the folder of %s: %s", path, strerror(errno));
    }
}

int daemon_listen(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    mode_t old_mask;
    int fd;
    int result;

    if (strlen(path) >= sizeof(address.sun_path)) {
        log_line("the socket's path is too long: %s", path);
        return -1;
    }
    strcpy(address.sun_path, path);
    if (somebody_answers(&address)) {
        log_line("another xenstored is serving %s", path);
        return -1;
    }
    make_folder(path);
    unlink(path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    old_mask = umask(0177);
    result = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&address, sizeof(address));
    umask(old_mask);
    if (result != 0 || listen(fd, BACKLOG) != 0) {
        log_line("cannot listen at %s: %s", path, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    return fd;
}

bool daemon_background(void)
{
    int ends[2];
    pid_t child;

    if (pipe2(ends, O_CLOEXEC) != 0) {
        log_line("cannot make a pipe: %s", strerror(errno));
        return false;
    }
    child = fork();
    if (child < 0) {
        log_line("cannot go to the background: %s", strerror(errno));
        return false;
    }
    if (child > 0) {
        char byte;

        close(ends[1]);
        _exit(read(ends[0], &byte, 1) == 1 ? 0 : 1);
    }
    close(ends[0]);
    ready_pipe = ends[1];
    setsid();
    if (chdir("/") != 0) {
        log_line("cannot change to /: %s", strerror(errno));
        return false;
    }
    return true;
}

static bool write_pid(const char *path)
{
    FILE *file = fopen(path, "we");
    bool good = file && fprintf(file, "%ld\n", (long)getpid()) > 0;

    if (!file || fclose(file) != 0 || !good) {
        log_line("cannot write the pid file %s: %s", path, strerror(errno));
        return false;
    }
    return true;
}

static void tell_service_manager(void)
{
    static const char message[] = "READY=1";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = getenv("NOTIFY_SOCKET");
    socklen_t size;
    int fd;

    if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(address.sun_path)) {
        return;
    }
    strcpy(address.sun_path, path);
    size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (path[0] == '@') {
        address.sun_path[0] = '\0';
    }
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || sendto(fd, message, sizeof(message) - 1, MSG_NOSIGNAL,
                         (struct sockaddr *)&address, size) < 0) {
        log_line("cannot tell the service manager: %s", strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
}

/* Gives away the terminal, after the last thing that a person there should see. */
static void leave_terminal(void)
{
    int null = open("/dev/null", O_RDWR);

    for (int fd = 0; null >= 0 && fd < 3; fd++) {
        dup2(null, fd);
    }
    if (null > 2) {
        close(null);
    }
    log_to_system();
}

bool daemon_ready(const char *pid_file)
{
    if (pid_file && !write_pid(pid_file)) {
        return false;
    }
    if (ready_pipe >= 0) {
        leave_terminal();
        if (write(ready_pipe, "", 1) != 1) {
            log_line("who started this server has gone");
        }
        close(ready_pipe);
        ready_pipe = -1;
    }
    tell_service_manager();
    return true;
}
