// SPDX-License-Identifier: Apache-2.0
//
// xl devd: the daemon of a driver domain. It goes to the background and serves the backends there.
#include "xl.h"

#include <toolstack/device.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct error *write_pid(const char *path)
{
    FILE *file = fopen(path, "w");

    if (!file)
        return error_errno(ERROR_SYSTEM, errno, "cannot write %s", path);
    fprintf(file, "%ld\n", (long)getpid());
    if (fclose(file) != 0)
        return error_errno(ERROR_SYSTEM, errno, "cannot write %s", path);
    return NULL;
}

COMMAND(devd)
{
    static const struct option longs[] = {{"pidfile", required_argument, NULL, 'p'},
                                          {"help", no_argument, NULL, 'h'},
                                          END_OF_OPTIONS};
    const char *pid_file = NULL;
    bool foreground = false;
    int option;

    while ((option = xl_option(xl, argc, argv, "hFp:", longs)) >= 0) {
        foreground |= option == 'F';
        if (option == 'p')
            pid_file = optarg;
    }
    TRY(xl_expect_arguments(xl, argc, 0, 0));
    TRY(toolstack_open_store(&xl->toolstack));
    if (device_own_domain(&xl->toolstack) == 0)
        return error_advice(error_new(ERROR_STATE, "devd is for driver domains"),
                            "In domain 0, xl create connects the devices itself.");
    if (!foreground && !xl_into_background(xl, "devd"))
        return NULL;
    if (pid_file)
        TRY(write_pid(pid_file));
    return device_serve(&xl->toolstack);
}
