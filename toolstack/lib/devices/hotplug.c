// SPDX-License-Identifier: Apache-2.0
//
// Running hotplug scripts with the environment and arguments that they are written for. A script's
// end is seen through a process descriptor, so it is one more thing for the event loop to wait for.
#include <toolstack/device.h>
#include <toolstack/memory.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/pidfd.h>
#include <unistd.h>

#define HOTPLUG_LOG "/var/log/xen/xen-hotplug.log"
#define HOTPLUG_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// In the new process: the script gets no input, and its output goes to the log.
static void run_script(const char *script, const char *const *arguments,
                       const char *const *environment)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int log = open(HOTPLUG_LOG, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    dup2(null, 0);
    dup2(log >= 0 ? log : null, 1);
    dup2(log >= 0 ? log : null, 2);
    execve(script, (char *const *)(uintptr_t)arguments, (char *const *)(uintptr_t)environment);
    _exit(127);
}

struct error *hotplug_start(const char *type, const char *script, const char *action,
                            const char *backend_path, const char *vif, int *process, int *pid)
{
    bool network = !strcmp(type, "vif");
    char *variables[] = {
        memory_format("script=%s", script),
        memory_format("XENBUS_TYPE=%s", type),
        memory_format("XENBUS_PATH=%s", backend_path),
        memory_copy_text("XENBUS_BASE_PATH=backend"),
        memory_format("vif=%s", vif ? vif : ""),
    };
    const char *environment[] = {variables[0], variables[1], variables[2],
                                 variables[3], HOTPLUG_PATH, network ? variables[4] : NULL,
                                 NULL};
    const char *arguments[] = {script, action, network ? "type_if=vif" : NULL, NULL};
    struct error *error = NULL;

    *pid = fork();
    if (*pid == 0)
        run_script(script, arguments, environment);
    if (*pid < 0)
        error = error_errno(ERROR_SYSTEM, errno, "cannot start %s", script);
    else
        *process = pidfd_open(*pid, 0);
    if (*pid > 0 && *process < 0)
        error = error_errno(ERROR_SYSTEM, errno, "cannot wait for %s", script);
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
        free(variables[i]);
    return error;
}

char *device_vif_name(struct toolstack *toolstack, const char *backend_path, unsigned int domid,
                      unsigned int devid)
{
    char *name = store_read(toolstack->store, "%s/vifname", backend_path);

    return name ? name : memory_format("vif%u.%u", domid, devid);
}

unsigned int device_own_domain(struct toolstack *toolstack)
{
    long number = store_read_number(toolstack->store, 0, "domid");

    return number >= 0 && number <= (long)DOMAIN_ID_MAX ? (unsigned int)number : 0;
}
