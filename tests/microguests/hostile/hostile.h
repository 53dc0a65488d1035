// SPDX-License-Identifier: Apache-2.0
// What the hostile guests share: their options, reproducible random numbers, and pages that may be
// lost, remapped or overwritten without harm to the program itself.
#ifndef HOSTILE_H
#define HOSTILE_H

#include "cpu.h"
#include "guest.h"
#include "interrupts.h"
#include "print.h"
#include "xen.h"

// Free RAM of any domain of 16 MiB, far behind the image: extents that begin in the arena and reach
// beyond it hit nothing either.
#define ARENA_ADDRESS 0xa00000ul
#define ARENA_PAGES 32u

// Where no domain of a few MiB has anything: frames from 256 MiB on.
#define HOLE_GFN 0x10000ul
#define HOLE_PAGES 64ul

struct options {
    uint64_t seed;
    uint64_t count; // steps; 0: until somebody ends the domain
    domid_t first_partner, last_partner;
};

extern struct options options;
static uint8_t (*const arena)[PAGE_SIZE] = (uint8_t(*)[PAGE_SIZE])ARENA_ADDRESS;

// Each vcpu has its own sequence, which begins with the seed and the vcpu's index.
void random_start(void);
uint64_t random64(void);
uint64_t random_below(uint64_t limit); // 0 for limit 0
bool random_once_in(unsigned int n);

// A number that is often small, sometimes at an edge (a power of two, or beside one), or anything.
uint64_t random_number(void);

unsigned long arena_gfn(unsigned int page);
domid_t own_domid(void);
domid_t random_partner(void);

// Says how far the program is, ten times in a run; true when it has done its count.
bool finished(uint64_t step);

// The programs.
void storm_hypercalls(void);
void abuse_grants(void);
void storm_events(void);
void run_instructions(void);
void run_user_instructions(void);
void touch_registers(void);
void touch_configuration(void);
void run_chaos(void);
void run_into_nothing(void);

#endif
