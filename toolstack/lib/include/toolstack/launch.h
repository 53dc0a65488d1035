// SPDX-License-Identifier: Apache-2.0
//
// The launch configuration: which domains a machine runs, in which order, with which devices, and
// what happens when one of them ends. It is written in the established syntax (config.h); "domains"
// lists the names, and each domain's settings begin with its name and a dot.
#ifndef TOOLSTACK_LAUNCH_H
#define TOOLSTACK_LAUNCH_H

#include <toolstack/domain_config.h>

enum restart_policy {
    RESTART_ALWAYS,     // whatever ended it
    RESTART_ON_FAILURE, // after a crash, a watchdog's end, a hang or a reboot
    RESTART_NEVER,
};

// A function by its address, or all functions of a class.
struct launch_device {
    struct config_place place;
    const char *class_name; // NULL: by address
    uint32_t class_code;    // as the function's class register has it, without its last byte
    uint32_t class_mask;
    struct pci_function function;
};

struct launch_domain {
    struct config_place place; // where it is listed
    char *name;
    char *file; // with its configuration
    struct domain_config config;
    size_t *after; // indices of the domains that must be ready before; backends are among them
    size_t after_count;
    struct launch_device *devices;
    size_t device_count;
    enum restart_policy restart;
    uint64_t heartbeat; // seconds that a driver domain may be silent; 0: it is not watched
    uint64_t ready;     // seconds that it may take to be ready
    uint64_t restarts;  // so many, within so many seconds, and no more are tried
    uint64_t within;
};

struct launch {
    struct config source;          // owns the places
    struct launch_domain *domains; // in the order in which they are started
    size_t count;
};

// Reads the launch configuration and the configurations of all its domains. Everything is checked:
// an unknown setting is an error, with its place. The caller frees *launch in any case.
struct error *launch_read(const char *path, struct launch *launch) MUST_CHECK;
void launch_free(struct launch *launch);

const char *restart_policy_word(enum restart_policy policy);

#endif
