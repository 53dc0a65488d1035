// SPDX-License-Identifier: Apache-2.0
// In the place of the console for tests of drivers: what would be said.
#ifndef DOUBLES_CONSOLE_H
#define DOUBLES_CONSOLE_H

// All messages since the test emptied it, a line each; what does not fit is dropped.
extern char fake_log[65536];

#endif
