// SPDX-License-Identifier: Apache-2.0
//
// Looking at domains. The list comes from the hypervisor in growing pieces; names are in xenstore,
// one read each. The connections of struct toolstack are opened on demand and closed together.
#include <toolstack/domain.h>
#include <toolstack/memory.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xen/sched.h>

enum { LIST_PIECE = 256 };

struct error *toolstack_open_hypervisor(struct toolstack *toolstack)
{
    return toolstack->hypervisor ? NULL : hypervisor_open(&toolstack->hypervisor);
}

struct error *toolstack_open_store(struct toolstack *toolstack)
{
    return toolstack->store ? NULL : store_open(&toolstack->store);
}

struct error *toolstack_open(struct toolstack *toolstack)
{
    TRY(toolstack_open_hypervisor(toolstack));
    return toolstack_open_store(toolstack);
}

void toolstack_close(struct toolstack *toolstack)
{
    store_close(toolstack->store);
    hypervisor_close(toolstack->hypervisor);
    *toolstack = (struct toolstack){0};
}

// Appends up to LIST_PIECE domains from the id first on; returns how many, or a negative number.
static int list_piece(struct hypervisor *hypervisor, unsigned int first, domain_info *into)
{
    domain_info *buffer = hypervisor_buffer(hypervisor, LIST_PIECE * sizeof(*buffer));
    struct xen_sysctl operation = {
        .cmd = XEN_SYSCTL_getdomaininfolist,
        .u.getdomaininfolist = {.first_domain = (domid_t)first, .max_domains = LIST_PIECE},
    };

    set_xen_guest_handle_raw(operation.u.getdomaininfolist.buffer, buffer);
    int result = hypervisor_sysctl(hypervisor, &operation);
    if (result >= 0) {
        result = (int)operation.u.getdomaininfolist.num_domains;
        memcpy(into, buffer, (size_t)result * sizeof(*buffer));
    }
    hypervisor_buffer_free(hypervisor, buffer);
    return result;
}

struct error *domain_list(struct toolstack *toolstack, domain_info **list, size_t *count)
{
    TRY(toolstack_open_hypervisor(toolstack));
    domain_info *all = NULL;
    size_t total = 0;
    unsigned int first = 0;
    int piece;

    do {
        all = memory_resized(all, total + LIST_PIECE, sizeof(*all));
        piece = list_piece(toolstack->hypervisor, first, all + total);
        if (piece < 0) {
            free(all);
            return error_errno(ERROR_HYPERVISOR, piece, "cannot list the domains");
        }
        total += (size_t)piece;
        if (piece)
            first = all[total - 1].domain + 1u;
    } while (piece == LIST_PIECE && first <= DOMAIN_ID_MAX);
    *list = all;
    *count = total;
    return NULL;
}

static struct error *no_domain(const char *text)
{
    return error_advice(error_new(ERROR_NO_DOMAIN, "%s is no domain that exists", text),
                        "xl list shows the domains that there are.");
}

struct error *domain_get_info(struct toolstack *toolstack, unsigned int domid, domain_info *info)
{
    TRY(toolstack_open_hypervisor(toolstack));
    struct xen_domctl operation = {.cmd = XEN_DOMCTL_getdomaininfo, .domain = (domid_t)domid};
    int result = hypervisor_domctl(toolstack->hypervisor, &operation);

    if (result < 0 && result != -ESRCH)
        return error_in_domain(error_errno(ERROR_HYPERVISOR, result, "cannot look at it"), NULL,
                               (int)domid);
    // Some versions answer with the next domain when there is none of this id.
    if (result < 0 || operation.u.getdomaininfo.domain != domid) {
        char text[16];

        snprintf(text, sizeof(text), "%u", domid);
        return no_domain(text);
    }
    *info = operation.u.getdomaininfo;
    return NULL;
}

char *domain_name(struct toolstack *toolstack, unsigned int domid)
{
    struct error *error = toolstack_open_store(toolstack);

    if (error) {
        error_ignore(error);
        return NULL;
    }
    return store_read(toolstack->store, "/local/domain/%u/name", domid);
}

char **domain_names(struct toolstack *toolstack, const domain_info *list, size_t count)
{
    char **paths = memory_zeroed((count + 1) * sizeof(*paths));
    char **names = memory_zeroed((count + 1) * sizeof(*names));

    for (size_t i = 0; i < count; i++)
        paths[i] = memory_format("/local/domain/%u/name", list[i].domain);
    if (!store_read_many(paths, names, count))
        for (size_t i = 0; i < count; i++)
            names[i] = domain_name(toolstack, list[i].domain);
    for (size_t i = 0; i < count; i++)
        free(paths[i]);
    free(paths);
    return names;
}

bool domain_find_name(struct toolstack *toolstack, const char *name, unsigned int *domid)
{
    domain_info *list = NULL;
    size_t count = 0;
    bool found = false;
    struct error *error = domain_list(toolstack, &list, &count);
    char **names = domain_names(toolstack, list, count);

    error_ignore(error);
    for (size_t i = 0; i < count; i++) {
        if (!found && names[i] && !strcmp(names[i], name)) {
            *domid = list[i].domain;
            found = true;
        }
        free(names[i]);
    }
    free(names);
    free(list);
    return found;
}

struct error *domain_find(struct toolstack *toolstack, const char *text, bool must_exist,
                          unsigned int *domid)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);

    if (*text >= '0' && *text <= '9' && !*end) {
        domain_info info;

        if (number > DOMAIN_ID_MAX)
            return no_domain(text);
        *domid = (unsigned int)number;
        return must_exist ? domain_get_info(toolstack, *domid, &info) : NULL;
    }
    TRY(toolstack_open(toolstack));
    return domain_find_name(toolstack, text, domid) ? NULL : no_domain(text);
}

int domain_shutdown_reason(const domain_info *info)
{
    if (!(info->flags & XEN_DOMINF_shutdown))
        return -1;
    return (info->flags >> XEN_DOMINF_shutdownshift) & XEN_DOMINF_shutdownmask;
}

const char *domain_shutdown_word(int reason)
{
    static const char *const words[] = {
        [SHUTDOWN_poweroff] = "poweroff", [SHUTDOWN_reboot] = "reboot",
        [SHUTDOWN_suspend] = "suspend",   [SHUTDOWN_crash] = "crash",
        [SHUTDOWN_watchdog] = "watchdog", [SHUTDOWN_soft_reset] = "soft-reset",
    };

    if (reason < 0 || (size_t)reason >= sizeof(words) / sizeof(words[0]))
        return "unknown";
    return words[reason];
}

static struct error *simple_domctl(struct toolstack *toolstack, unsigned int domid,
                                   uint32_t command, const char *what)
{
    TRY(toolstack_open_hypervisor(toolstack));
    struct xen_domctl operation = {.cmd = command, .domain = (domid_t)domid};
    int result = hypervisor_domctl(toolstack->hypervisor, &operation);

    if (result >= 0)
        return NULL;
    return error_in_domain(error_errno(ERROR_HYPERVISOR, result, "cannot %s it", what), NULL,
                           (int)domid);
}

struct error *domain_pause(struct toolstack *toolstack, unsigned int domid)
{
    return simple_domctl(toolstack, domid, XEN_DOMCTL_pausedomain, "pause");
}

struct error *domain_unpause(struct toolstack *toolstack, unsigned int domid)
{
    return simple_domctl(toolstack, domid, XEN_DOMCTL_unpausedomain, "unpause");
}

struct error *domain_destroy_only(struct toolstack *toolstack, unsigned int domid)
{
    TRY(toolstack_open_hypervisor(toolstack));
    struct xen_domctl operation = {.cmd = XEN_DOMCTL_destroydomain, .domain = (domid_t)domid};
    int result;

    // Destruction makes way when it takes long, and is asked for again.
    do {
        result = hypervisor_domctl(toolstack->hypervisor, &operation);
    } while (result == -EAGAIN || result == -EINTR);
    if (result >= 0 || result == -ESRCH)
        return NULL;
    return error_in_domain(error_errno(ERROR_HYPERVISOR, result, "cannot destroy it"), NULL,
                           (int)domid);
}

struct error *domain_request_shutdown(struct toolstack *toolstack, unsigned int domid,
                                      const char *request)
{
    TRY(toolstack_open_store(toolstack));
    if (domid == 0)
        return error_new(ERROR_STATE, "domain 0 is not shut down by its own toolstack");
    return error_in_domain(
        store_write(toolstack->store, request, "/local/domain/%u/control/shutdown", domid), NULL,
        (int)domid);
}

struct rename {
    unsigned int domid;
    const char *name;
};

static struct error *rename_body(struct store *store, void *context)
{
    const struct rename *rename = context;
    char *path = store_read(store, "/local/domain/%u/vm", rename->domid);
    struct error *error = store_write(store, rename->name, "/local/domain/%u/name", rename->domid);

    if (!error && path)
        error = store_write(store, rename->name, "%s/name", path);
    free(path);
    return error;
}

struct error *domain_rename(struct toolstack *toolstack, unsigned int domid, const char *name)
{
    unsigned int other;
    struct rename rename = {domid, name};

    TRY(toolstack_open(toolstack));
    if (strchr(name, '/') || !*name || strspn(name, "0123456789") == strlen(name))
        return error_new(ERROR_VALUE, "\"%s\" cannot be a domain's name", name);
    if (domain_find_name(toolstack, name, &other) && other != domid)
        return error_new(ERROR_NAME_TAKEN, "domain %u is already called %s", other, name);
    return store_transaction(toolstack->store, rename_body, &rename);
}

long domain_uptime(struct toolstack *toolstack, unsigned int domid)
{
    double start = 0;
    struct timespec now;

    if (domid == 0) {
        clock_gettime(CLOCK_BOOTTIME, &now);
        return now.tv_sec;
    }
    char *path = store_read(toolstack->store, "/local/domain/%u/vm", domid);
    char *text = path ? store_read(toolstack->store, "%s/start_time", path) : NULL;

    if (text)
        start = strtod(text, NULL);
    free(text);
    free(path);
    clock_gettime(CLOCK_REALTIME, &now);
    return start > 0 && now.tv_sec > (long)start ? now.tv_sec - (long)start : 0;
}
