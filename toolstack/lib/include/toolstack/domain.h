// SPDX-License-Identifier: Apache-2.0
//
// Running domains: finding them, looking at them, stopping and starting them. struct toolstack is
// what almost every function of the library takes: the connections, opened when they are first
// needed, so that a command pays only for what it uses.
#ifndef TOOLSTACK_DOMAIN_H
#define TOOLSTACK_DOMAIN_H

#include <stdbool.h>
#include <toolstack/hypercall.h>
#include <toolstack/store.h>

struct toolstack {
    struct hypervisor *hypervisor;
    struct store *store;
};

// Opens what is not open yet.
struct error *toolstack_open_hypervisor(struct toolstack *toolstack) MUST_CHECK;
struct error *toolstack_open_store(struct toolstack *toolstack) MUST_CHECK;
struct error *toolstack_open(struct toolstack *toolstack) MUST_CHECK; // both
void toolstack_close(struct toolstack *toolstack);

typedef struct xen_domctl_getdomaininfo domain_info;

#define DOMAIN_ID_MAX 0x7fefu
#define UUID_TEXT_SIZE 37

// All domains in order of their ids; the caller frees the array. Dying ones are included.
struct error *domain_list(struct toolstack *toolstack, domain_info **list,
                          size_t *count) MUST_CHECK;

struct error *domain_get_info(struct toolstack *toolstack, unsigned int domid,
                              domain_info *info) MUST_CHECK;

// The name of a domain, which the caller frees; NULL when it has none.
char *domain_name(struct toolstack *toolstack, unsigned int domid);

// The names of all of a list, in its order, as domain_name gives them; asked for together. The
// caller frees each and the array.
char **domain_names(struct toolstack *toolstack, const domain_info *list, size_t count);

// The domain that a person means by a name or a number. Numbers are taken without asking whether
// there is such a domain when must_exist is false.
struct error *domain_find(struct toolstack *toolstack, const char *text, bool must_exist,
                          unsigned int *domid) MUST_CHECK;

// Only by name; false when no domain has it.
bool domain_find_name(struct toolstack *toolstack, const char *name, unsigned int *domid);

// Why a domain has shut down: SHUTDOWN_poweroff and so on; -1 when it has not.
int domain_shutdown_reason(const domain_info *info);
// "poweroff", "reboot", "suspend", "crash", "watchdog", "soft-reset", or "unknown".
const char *domain_shutdown_word(int reason);

struct error *domain_pause(struct toolstack *toolstack, unsigned int domid) MUST_CHECK;
struct error *domain_unpause(struct toolstack *toolstack, unsigned int domid) MUST_CHECK;

// Destroys a domain in the hypervisor, and nothing else: for one that has no devices.
// domain_destroy (create.h) is what ends a domain.
struct error *domain_destroy_only(struct toolstack *toolstack, unsigned int domid) MUST_CHECK;

// Writes a request ("poweroff", "reboot", ...) to control/shutdown. An error says so when the guest
// has no driver for it.
struct error *domain_request_shutdown(struct toolstack *toolstack, unsigned int domid,
                                      const char *request) MUST_CHECK;

// Gives a domain another name, which must be free.
struct error *domain_rename(struct toolstack *toolstack, unsigned int domid,
                            const char *name) MUST_CHECK;

// Seconds since the domain was started; 0 when that is not known.
long domain_uptime(struct toolstack *toolstack, unsigned int domid);

void uuid_format(const uint8_t bytes[16], char text[UUID_TEXT_SIZE]);
// False when the text is no UUID.
bool uuid_parse(const char *text, uint8_t bytes[16]);
// A random one.
struct error *uuid_generate(uint8_t bytes[16]) MUST_CHECK;

#endif
