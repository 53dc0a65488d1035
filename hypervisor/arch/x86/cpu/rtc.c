// SPDX-License-Identifier: Apache-2.0
// Wall-clock time from the CMOS real time clock, read once at boot on the boot CPU. The chip is
// read twice with equal results outside its update cycle; every wait is bounded. It is taken to
// run in universal time.

#include <bulkhead/acpi.h>
#include <bulkhead/string.h>
#include <x86/io_port.h>
#include <x86/registers.h>
#include <x86/time.h>

#define CMOS_INDEX 0x70
#define CMOS_DATA 0x71
#define CMOS_NMI_OFF 0x80

#define RTC_SECONDS 0x00
#define RTC_MINUTES 0x02
#define RTC_HOURS 0x04
#define RTC_DAY 0x07
#define RTC_MONTH 0x08
#define RTC_YEAR 0x09
#define RTC_STATUS_A 0x0a
#define RTC_STATUS_B 0x0b
#define RTC_UPDATING 0x80 // in status A
#define RTC_24_HOURS 0x02 // in status B
#define RTC_BINARY 0x04
#define RTC_PM 0x80 // in the hours, with 12-hour time

#define UPDATE_POLLS 100000u
#define READ_TRIES 8u

struct date {
    uint8_t seconds, minutes, hours, day, month, year, century;
};

static uint8_t cmos_read(uint8_t index)
{
    port_write8(CMOS_INDEX, CMOS_NMI_OFF | index);
    return port_read8(CMOS_DATA);
}

static void wait_for_update(void)
{
    for (unsigned int i = 0; i < UPDATE_POLLS && (cmos_read(RTC_STATUS_A) & RTC_UPDATING); i++) {
        cpu_relax();
    }
}

static struct date read_once(void)
{
    uint8_t century = acpi_info.century_register;
    struct date d;

    wait_for_update();
    d.seconds = cmos_read(RTC_SECONDS);
    d.minutes = cmos_read(RTC_MINUTES);
    d.hours = cmos_read(RTC_HOURS);
    d.day = cmos_read(RTC_DAY);
    d.month = cmos_read(RTC_MONTH);
    d.year = cmos_read(RTC_YEAR);
    d.century = century ? cmos_read(century) : 0x20;
    return d;
}

static uint8_t from_bcd(uint8_t value)
{
    return (uint8_t)((value >> 4) * 10 + (value & 15));
}

static void decode(struct date *d, bool has_century)
{
    uint8_t status = cmos_read(RTC_STATUS_B);
    bool afternoon = !(status & RTC_24_HOURS) && (d->hours & RTC_PM);

    if (!(status & RTC_24_HOURS)) {
        d->hours &= (uint8_t)~RTC_PM;
    }
    if (!(status & RTC_BINARY)) {
        d->seconds = from_bcd(d->seconds);
        d->minutes = from_bcd(d->minutes);
        d->hours = from_bcd(d->hours);
        d->day = from_bcd(d->day);
        d->month = from_bcd(d->month);
        d->year = from_bcd(d->year);
        d->century = from_bcd(d->century);
    }
    if (!has_century) {
        d->century = d->year < 70 ? 20 : 19;
    }
    if (!(status & RTC_24_HOURS)) {
        d->hours = (uint8_t)(d->hours % 12 + (afternoon ? 12 : 0));
    }
}

// Days since 1970-01-01 in the Gregorian calendar. The year is made to begin in March, so that the
// leap day comes last.
static int64_t days_since_1970(int64_t year, unsigned int month, unsigned int day)
{
    unsigned int march_month = (month + 9) % 12;
    int64_t y = year - (month <= 2);
    int64_t days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * march_month + 2) / 5 + day - 1;

    return days - 719468; // day 0 is 0000-03-01
}

int64_t rtc_read(void)
{
    struct date first = read_once();
    struct date d = {0};
    bool equal = false;

    for (unsigned int i = 0; i < READ_TRIES && !equal; i++) {
        d = read_once();
        equal = !memcmp(&first, &d, sizeof(d));
        first = d;
    }
    decode(&d, acpi_info.century_register != 0);
    if (!equal || d.month < 1 || d.month > 12 || d.day < 1 || d.day > 31 || d.hours > 23 ||
        d.minutes > 59 || d.seconds > 60) {
        return 0;
    }
    return ((days_since_1970(d.century * 100 + d.year, d.month, d.day) * 24 + d.hours) * 60 +
            d.minutes) *
               60 +
           d.seconds;
}
