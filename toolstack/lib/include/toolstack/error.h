// SPDX-License-Identifier: Apache-2.0
//
// Errors are values. A function that can fail returns struct error *: NULL when it succeeded, else
// an error that the caller owns and either returns (TRY), prints and frees (error_report), or
// frees. An error has a code that scripts may rely on, a sentence for people, what it is about (a
// domain, a device), and, where there is something to do about it, advice. Memory that runs out is
// no error: the small allocations of this library end the program (memory.h).
#ifndef TOOLSTACK_ERROR_H
#define TOOLSTACK_ERROR_H

#include <stdio.h>

// The codes and the words that stand for them in messages and JSON; neither ever changes its
// meaning.
#define ERROR_CODES(X)                                                                             \
    X(USAGE, "usage")                   /* the command line cannot be understood */                \
    X(SYSTEM, "system")                 /* the operating system refused something */               \
    X(NOT_ON_XEN, "no-hypervisor")      /* there is no hypervisor to talk to */                    \
    X(HYPERVISOR, "hypervisor-refused") /* a hypercall failed */                                   \
    X(STORE, "xenstore")                /* xenstored failed or is not there */                     \
    X(NO_DOMAIN, "no-such-domain")      /* no domain has this name or id */                        \
    X(NAME_TAKEN, "name-taken")         /* another domain has this name or UUID */                 \
    X(STATE, "wrong-state")             /* the domain is not in a state for this */                \
    X(NO_FILE, "no-such-file")          /* a named file cannot be read */                          \
    X(SYNTAX, "config-syntax")          /* a configuration does not follow the syntax */           \
    X(VALUE, "config-value")            /* a setting has an impossible value */                    \
    X(UNSUPPORTED, "unsupported")       /* understood, but this toolstack cannot do it */          \
    X(KERNEL, "kernel-image")           /* a file is no kernel that can be started */              \
    X(HOST_MEMORY, "not-enough-memory") /* the machine has too little free memory */               \
    X(DEVICE, "device")                 /* a device cannot be connected */                         \
    X(NO_DEVICE, "no-such-device")      /* the domain has no such device */                        \
    X(BACKEND, "backend")               /* a backend domain is missing or does not answer */       \
    X(HOTPLUG, "hotplug-script")        /* a hotplug script failed */                              \
    X(TIMEOUT, "timeout")               /* something did not happen in time */

enum error_code {
#define X(name, word) ERROR_##name,
    ERROR_CODES(X)
#undef X
};

struct error {
    enum error_code code;
    // The domain it is about: its name if known, its id or -1.
    char *domain;
    int domid;
    char *device;
    char *message;
    char *advice;
};

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(text, values) __attribute__((format(printf, text, values)))

// Makes an error. The message is a sentence's worth of text without a final period.
struct error *error_new(enum error_code code, const char *format, ...) PRINTF_LIKE(2, 3) MUST_CHECK;

// The same with ": " and what errno number stands for. number may be negative, as hypercalls
// return.
struct error *error_errno(enum error_code code, int number, const char *format, ...)
    PRINTF_LIKE(3, 4) MUST_CHECK;

// These add to an error and return it; what is already known is not overwritten. NULL stays NULL.
struct error *error_in_domain(struct error *error, const char *name, int domid);
struct error *error_in_device(struct error *error, const char *format, ...) PRINTF_LIKE(2, 3);
struct error *error_advice(struct error *error, const char *format, ...) PRINTF_LIKE(2, 3);

// The word for a code, as printed.
const char *error_word(enum error_code code);

// Writes "guest (domain 3), disk xvda: message [word]" and the advice, each as a line after prefix.
void error_print(const struct error *error, FILE *stream, const char *prefix);

void error_free(struct error *error);

// Frees an error that does not matter here, for instance during an undo that is best effort.
void error_ignore(struct error *error);

// Keeps the first of two errors; the second is freed. Either may be NULL.
struct error *error_first(struct error *first, struct error *second);

// Returns from the calling function when the expression is an error.
#define TRY(expression)                                                                            \
    do {                                                                                           \
        struct error *try_error_ = (expression);                                                   \
        if (try_error_)                                                                            \
            return try_error_;                                                                     \
    } while (0)

#endif
