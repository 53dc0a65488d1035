// SPDX-License-Identifier: Apache-2.0
//
// Requests about domains, features and quotas (request.h). Domain ids are decimal numbers below the
// reserved ones. Nothing here holds state of its own.

#include "request.h"

#include <stdio.h>
#include <string.h>
#include <xen/xen.h>

static bool parse_domid(const char *text, unsigned *domid)
{
    unsigned long long number;
    bool good = parse_number(text, DOMID_FIRST_RESERVED - 1, &number);

    *domid = (unsigned)number;
    return good;
}

/* Takes the first of between LEAST and MOST arguments for a domain. */
static bool domain_argument(struct request *request, size_t least, size_t most, unsigned *domid)
{
    return request_arguments(request, least, most) && parse_domid(request->argument[0], domid);
}

int request_introduce(struct request *request)
{
    unsigned domid;
    unsigned long long frame;
    unsigned long long port;
    const char *digits;

    if (!domain_argument(request, 3, 4, &domid) || domid == 0) {
        return EINVAL;
    }
    /* Frames are signed in the protocol; the host maps by grant and needs none. */
    digits = request->argument[1];
    digits += *digits == '-';
    if (!parse_number(digits, UINT64_MAX, &frame) ||
        !parse_number(request->argument[2], UINT32_MAX, &port)) {
        return EINVAL;
    }
    return domain_introduce(request->store, domid, frame, (unsigned)port);
}

int request_release(struct request *request)
{
    unsigned domid;

    if (!domain_argument(request, 1, 1, &domid) || domid == 0) {
        return EINVAL;
    }
    return domain_release(request->store, domid);
}

static int introduced_domain(struct request *request, size_t arguments, struct domain **domain)
{
    unsigned domid;

    if (!domain_argument(request, arguments, arguments, &domid)) {
        return EINVAL;
    }
    *domain = domain_find(request->store, domid);
    return *domain && (*domain)->introduced ? 0 : ENOENT;
}

int request_resume(struct request *request)
{
    struct domain *domain;
    int error = introduced_domain(request, 1, &domain);

    if (error == 0) {
        domain->shut_down = false;
    }
    return error;
}

int request_set_target(struct request *request)
{
    struct domain *domain;
    unsigned target;
    int error = introduced_domain(request, 2, &domain);

    if (error != 0) {
        return error;
    }
    if (!parse_domid(request->argument[1], &target)) {
        return EINVAL;
    }
    if (!domain_find(request->store, target)) {
        return ENOENT;
    }
    domain->target = target;
    return 0;
}

int request_domain_path(struct request *request)
{
    char home[PATH_HOME_SIZE];
    unsigned domid;

    if (!domain_argument(request, 1, 1, &domid)) {
        return EINVAL;
    }
    path_home(home, domid);
    return reply_text(request, home);
}

int request_is_introduced(struct request *request)
{
    const struct domain *domain;
    unsigned long long domid;

    if (!request_arguments(request, 1, 1) || !parse_number(request->argument[0], 0xffff, &domid)) {
        return EINVAL;
    }
    domain = domid == DOMID_SELF ? request->domain : domain_find(request->store, (unsigned)domid);
    return reply_text(request, domid == 0 || (domain && domain->introduced) ? "T" : "F");
}

static int reply_number(struct request *request, unsigned number)
{
    char text[12];

    snprintf(text, sizeof(text), "%u", number);
    return reply_text(request, text);
}

int request_get_feature(struct request *request)
{
    const struct domain *domain;
    unsigned domid;

    if (!request_arguments(request, 0, 1)) {
        return EINVAL;
    }
    if (request->arguments == 0) {
        return reply_number(request, request->domain->features);
    }
    if (!request->domain->privileged) {
        return EACCES;
    }
    if (!parse_domid(request->argument[0], &domid)) {
        return EINVAL;
    }
    domain = domain_find(request->store, domid);
    return domain ? reply_number(request, domain->features) : ENOENT;
}

/* The domain of a request that may come before anything else about a domain that exists. */
static int future_domain(struct request *request, const char *text, struct domain **domain)
{
    const struct host *host = request->store->host;
    unsigned domid;

    if (!parse_domid(text, &domid)) {
        return EINVAL;
    }
    if (host->domain_state(host->context, domid) == DOMAIN_GONE) {
        return ENOENT;
    }
    *domain = domain_get(request->store, domid);
    return *domain ? 0 : ENOMEM;
}

int request_set_feature(struct request *request)
{
    struct domain *domain;
    unsigned long long features;
    int error;

    if (!request_arguments(request, 2, 2) ||
        !parse_number(request->argument[1], UINT32_MAX, &features) || (features & ~FEATURES_ALL)) {
        return EINVAL;
    }
    error = future_domain(request, request->argument[0], &domain);
    if (error == 0 && domain->introduced) {
        return EBUSY;
    }
    if (error == 0) {
        domain->features = (uint32_t)features;
    }
    return error;
}

static int list_quotas(struct request *request)
{
    char text[XENSTORE_PAYLOAD_MAX];
    size_t length = 0;

    for (unsigned kind = 0; kind < QUOTA_COUNT; kind++) {
        length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%s", kind ? " " : "",
                                   quota_name(kind));
    }
    return reply_text(request, text);
}

/* The quotas meant by COUNT arguments, a domain's when there are WITH_DOMAIN. */
static int chosen_quotas(struct request *request, size_t with_domain, struct quotas **quotas,
                         enum quota *kind)
{
    const char *name = request->argument[request->arguments == with_domain];
    struct domain *domain;
    int error = 0;

    *quotas = &request->store->quotas;
    if (request->arguments == with_domain) {
        error = future_domain(request, request->argument[0], &domain);
        *quotas = error ? NULL : &domain->quotas;
    }
    *kind = quota_by_name(name);
    return *kind == QUOTA_COUNT ? EINVAL : error;
}

int request_get_quota(struct request *request)
{
    struct quotas *quotas;
    enum quota kind;
    int error;

    if (!request_arguments(request, 0, 2)) {
        return EINVAL;
    }
    if (request->arguments == 0) {
        return list_quotas(request);
    }
    error = chosen_quotas(request, 2, &quotas, &kind);
    return error ? error : reply_number(request, quotas->limit[kind]);
}

int request_set_quota(struct request *request)
{
    struct quotas *quotas;
    enum quota kind;
    unsigned long long value;
    int error;

    if (!request_arguments(request, 2, 3) ||
        !parse_number(request->argument[request->arguments - 1], UINT32_MAX, &value)) {
        return EINVAL;
    }
    error = chosen_quotas(request, 3, &quotas, &kind);
    if (error == 0) {
        quotas->limit[kind] = (unsigned)value;
    }
    return error;
}
