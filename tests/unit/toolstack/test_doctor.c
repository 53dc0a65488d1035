// SPDX-License-Identifier: Apache-2.0
//
// The doctor on machines that were recorded (machines/): what it reads from sysfs and from
// configuration spaces, which functions it puts together, and what it says of them. A recording is
// unpacked into a tree like sysfs; what the hypervisor would add is set by each test.
#include "check.h"

#include <stdio.h>
#include <sys/stat.h>
#include <toolstack/doctor.h>
#include <toolstack/memory.h>
#include <unistd.h>

#define TREE FOLDER "/sys"

static void write_file(const char *folder, const char *name, const void *bytes, size_t size)
{
    char *path = memory_format("%s/%s", folder, name);
    FILE *file = fopen(path, "a");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
    free(path);
}

static void write_space(const char *folder, const char *digits)
{
    uint8_t space[4096];
    size_t size = 0;

    while (size < sizeof(space) && sscanf(digits + 2 * size, "%2hhx", &space[size]) == 1)
        size++;
    write_file(folder, "config", space, size);
}

// One line of a recording: a word and what belongs to it. Returns the folder of its function.
static char *unpack_line(char *folder, const char *word, char *rest)
{
    rest[strcspn(rest, "\n")] = '\0';
    if (!strcmp(word, "function")) {
        free(folder);
        folder = memory_format(TREE "/bus/pci/devices/%s", rest);
        assert_int_equal(mkdir(folder, 0755), 0);
    } else if (!strcmp(word, "config")) {
        write_space(folder, rest);
    } else if (!strcmp(word, "driver")) {
        char *link = memory_format("%s/driver", folder);
        char *target = memory_format("../../../bus/pci/drivers/%s", rest);

        assert_int_equal(symlink(target, link), 0);
        free(link);
        free(target);
    } else {
        write_file(folder, word, rest, strlen(rest));
        write_file(folder, word, "\n", 1);
    }
    return folder;
}

static void read_machine(const char *name, struct doctor_facts *facts)
{
    char *path = memory_format(RECORDINGS "/%s", name);
    FILE *file = fopen(path, "r");
    char *folder = NULL;
    static char line[16384];

    assert_non_null(file);
    assert_int_equal(system("rm -rf " TREE " && mkdir -p " TREE "/bus/pci/devices"), 0);
    while (fgets(line, sizeof(line), file)) {
        char *space = strchr(line, ' ');

        if (*line == '#')
            continue;
        assert_non_null(space);
        *space = '\0';
        folder = unpack_line(folder, line, space + 1);
    }
    fclose(file);
    free(folder);
    free(path);
    *facts = (struct doctor_facts){0};
    assert_works(doctor_read_sysfs(TREE, facts));
}

static size_t place_of(const struct doctor_facts *facts, const char *address)
{
    struct pci_function function;

    assert_true(pci_parse(address, &function));
    size_t place = doctor_find(facts, &function);

    assert_in_range(place, 0, facts->device_count - 1);
    return place;
}

// The only finding of a topic, which must hold a text; checks its level.
static void assert_found(const struct findings *findings, enum finding_topic topic,
                         enum finding_level level, const char *text)
{
    for (size_t i = 0; i < findings->count; i++) {
        const struct finding *finding = &findings->list[i];

        if (finding->topic != topic)
            continue;
        if (!strstr(finding->text, text))
            fail_msg("\"%s\" does not hold \"%s\"", finding->text, text);
        assert_int_equal(finding->level, level);
        // What is not well comes with what to do about it.
        if (level == FINDING_PROBLEM)
            assert_non_null(finding->advice);
        return;
    }
    fail_msg("nothing is said of %s", finding_topic_word(topic));
}

static void assert_device(const struct doctor_facts *facts, const char *address,
                          enum finding_topic topic, enum finding_level level, const char *text)
{
    struct findings findings = {0};

    doctor_judge_device(facts, place_of(facts, address), &findings);
    assert_found(&findings, topic, level, text);
    findings_free(&findings);
}

static void reads_what_sysfs_shows(void **state)
{
    struct doctor_facts facts;

    (void)state;
    read_machine("q35", &facts);
    const struct device_facts *disk = &facts.devices[place_of(&facts, "0000:00:03.0")];

    assert_int_equal(disk->class, 0x010802);
    assert_string_equal(disk->driver, "nvme");
    assert_true(disk->able.is_pcie && disk->able.resets_function);
    assert_true(disk->able.has_message_interrupts);
    const struct device_facts *bridge = &facts.devices[place_of(&facts, "0000:00:05.0")];

    assert_true(bridge->able.is_bridge);
    assert_int_equal(bridge->able.secondary, 1);
    doctor_free(&facts);
}

static void a_missing_tree_is_an_error(void **state)
{
    struct doctor_facts facts = {0};

    (void)state;
    assert_fails(doctor_read_sysfs(FOLDER "/nowhere", &facts), ERROR_SYSTEM, "cannot list");
    doctor_free(&facts);
}

static void finds_what_travels_together(void **state)
{
    struct doctor_facts facts;

    (void)state;
    read_machine("q35", &facts);
    // Behind a bridge to conventional PCI, on functions of one device, and alone.
    assert_device(&facts, "0000:01:01.0", TOPIC_GROUP, FINDING_NOTE, "0000:01:02.0");
    assert_device(&facts, "0000:01:01.0", TOPIC_GROUP, FINDING_NOTE, "the bridge 0000:00:05.0");
    assert_device(&facts, "0000:00:1f.2", TOPIC_GROUP, FINDING_NOTE, "0000:00:1f.3");
    assert_device(&facts, "0000:00:1f.2", TOPIC_GROUP, FINDING_NOTE, "functions of one device");
    assert_device(&facts, "0000:00:03.0", TOPIC_GROUP, FINDING_GOOD, "alone");
    // The hypervisor's word adds to that.
    size_t disk = place_of(&facts, "0000:00:03.0");

    facts.devices[disk].group = memory_zeroed(facts.device_count * sizeof(bool));
    facts.devices[disk].group[place_of(&facts, "0000:00:04.0")] = true;
    assert_device(&facts, "0000:00:03.0", TOPIC_GROUP, FINDING_NOTE,
                  "0000:00:04.0 would have to travel with it: the hypervisor says");
    doctor_free(&facts);
}

static void access_control_keeps_functions_apart(void **state)
{
    struct doctor_facts facts;

    (void)state;
    read_machine("q35", &facts);
    facts.devices[place_of(&facts, "0000:00:05.0")].able.has_isolation = true;
    assert_device(&facts, "0000:01:01.0", TOPIC_GROUP, FINDING_GOOD, "alone");
    doctor_free(&facts);
}

static void says_how_a_function_is_reset(void **state)
{
    struct doctor_facts facts;

    (void)state;
    read_machine("q35", &facts);
    assert_device(&facts, "0000:00:03.0", TOPIC_RESET, FINDING_GOOD, "function level reset");
    assert_device(&facts, "0000:01:01.0", TOPIC_RESET, FINDING_GOOD, "its bus");
    // AHCI resets itself, where the hypervisor knows how.
    assert_device(&facts, "0000:00:1f.2", TOPIC_RESET, FINDING_PROBLEM, "cannot be reset alone");
    facts.machine.virtual_pci = YES;
    assert_device(&facts, "0000:00:1f.2", TOPIC_RESET, FINDING_GOOD, "registers of its own");
    facts.devices[place_of(&facts, "0000:00:03.0")].able =
        (struct device_abilities){.readable = true};
    assert_device(&facts, "0000:00:03.0", TOPIC_RESET, FINDING_PROBLEM, "cannot be reset alone");
    doctor_free(&facts);
}

static void says_who_has_it_and_what_it_suits(void **state)
{
    struct doctor_facts facts;

    (void)state;
    read_machine("q35", &facts);
    struct device_facts *disk = &facts.devices[place_of(&facts, "0000:00:03.0")];

    assert_device(&facts, "0000:00:03.0", TOPIC_OWNER, FINDING_NOTE, "with the driver nvme");
    assert_device(&facts, "0000:00:03.0", TOPIC_DRIVER_DOMAIN, FINDING_GOOD, "storage");
    assert_device(&facts, "0000:00:04.0", TOPIC_DRIVER_DOMAIN, FINDING_GOOD, "network");
    assert_device(&facts, "0000:01:02.0", TOPIC_DRIVER_DOMAIN, FINDING_GOOD, "USB");
    assert_device(&facts, "0000:00:05.0", TOPIC_DRIVER_DOMAIN, FINDING_NOTE, "bridge");
    disk->owner = 4;
    disk->owner_name = memory_copy_text("store");
    assert_device(&facts, "0000:00:03.0", TOPIC_OWNER, FINDING_NOTE, "domain store (4) has it");
    disk->owner = OWNER_HIDDEN;
    assert_device(&facts, "0000:00:03.0", TOPIC_OWNER, FINDING_NOTE, "another domain has it");
    disk->seen = false;
    assert_device(&facts, "0000:00:03.0", TOPIC_VISIBILITY, FINDING_NOTE, "does not see it");
    doctor_free(&facts);
}

static void says_what_is_shared(void **state)
{
    struct doctor_facts facts;

    (void)state;
    read_machine("q35", &facts);
    size_t network = place_of(&facts, "0000:00:04.0");
    size_t disk = place_of(&facts, "0000:00:03.0");
    struct findings findings = {0};

    facts.devices[network].regions[0] = (struct device_region){0xfe000000, 0xfe0007ff, false};
    facts.devices[disk].regions[0] = (struct device_region){0xfe000800, 0xfe000fff, false};
    assert_device(&facts, "0000:00:04.0", TOPIC_SHARED_PAGE, FINDING_PROBLEM, "0000:00:03.0");
    facts.reserved = memory_zeroed(sizeof(*facts.reserved));
    facts.reserved_count = 1;
    facts.reserved[0] = (struct reserved_region){
        .first = 0x7f000000,
        .last = 0x7f00ffff,
        .devices = memory_zeroed(facts.device_count * sizeof(bool)),
    };
    facts.reserved[0].devices[network] = facts.reserved[0].devices[disk] = true;
    assert_device(&facts, "0000:00:04.0", TOPIC_RESERVED_MEMORY, FINDING_PROBLEM,
                  "7f000000 to 7f00ffff and shares it with 0000:00:03.0");
    doctor_judge_machine(&facts, &findings);
    assert_found(&findings, TOPIC_RESERVED_MEMORY, FINDING_NOTE, "for 0000:00:03.0, 0000:00:04.0");
    findings_free(&findings);
    doctor_free(&facts);
}

// A device with a line interrupt only, as a virtual machine's old network card is.
static void says_when_interrupts_are_lines(void **state)
{
    struct doctor_facts facts;

    (void)state;
    read_machine("q35", &facts);
    assert_device(&facts, "0000:01:01.0", TOPIC_INTERRUPTS, FINDING_PROBLEM, "line interrupts");
    assert_device(&facts, "0000:00:03.0", TOPIC_INTERRUPTS, FINDING_GOOD, "messages");
    doctor_free(&facts);
}

static void assert_machine(const struct machine_facts *machine, enum finding_topic topic,
                           enum finding_level level, const char *text)
{
    struct doctor_facts facts = {.machine = *machine};
    struct findings findings = {0};

    doctor_judge_machine(&facts, &findings);
    assert_found(&findings, topic, level, text);
    findings_free(&findings);
}

static void says_what_the_machine_lacks(void **state)
{
    struct machine_facts good = {YES, YES, YES, YES, YES, false};
    struct machine_facts bad = {NO, NO, NO, NO, NO, true};
    struct machine_facts unknown = {0};

    (void)state;
    assert_machine(&good, TOPIC_VIRTUALIZATION, FINDING_GOOD, "can run");
    assert_machine(&good, TOPIC_IOMMU, FINDING_GOOD, "in use");
    assert_machine(&bad, TOPIC_VIRTUALIZATION, FINDING_PROBLEM, "neither PVH nor HVM");
    assert_machine(&bad, TOPIC_NESTED_PAGING, FINDING_PROBLEM, "no nested paging");
    assert_machine(&bad, TOPIC_IOMMU, FINDING_PROBLEM, "no IOMMU");
    assert_machine(&bad, TOPIC_INTERRUPT_REMAPPING, FINDING_PROBLEM, "can forge");
    assert_machine(&bad, TOPIC_VIRTUAL_PCI, FINDING_NOTE, "does not show");
    assert_machine(&unknown, TOPIC_INTERRUPT_REMAPPING, FINDING_NOTE, "no longer says");
    assert_machine(&good, TOPIC_CONTROL_DOMAIN, FINDING_GOOD, "no device");
    assert_machine(&good, TOPIC_RESERVED_MEMORY, FINDING_GOOD, "no memory");
}

// Configuration spaces are a device's word: every next pointer may lie.
static void ends_on_any_configuration_space(void **state)
{
    uint8_t space[4096];
    struct device_abilities able;
    uint32_t random = 1;

    (void)state;
    for (unsigned int round = 0; round < 20000; round++) {
        size_t size = round % 3 == 0 ? sizeof(space) : round % 3 == 1 ? 64 : 256;

        for (size_t i = 0; i < size; i++) {
            random = random * 1664525 + 1013904223;
            space[i] = (uint8_t)(random >> 24);
        }
        device_read_abilities(space, size, &able);
        assert_true(able.readable);
    }
    memset(space, 0x40, sizeof(space)); // lists that point to their own beginning
    device_read_abilities(space, sizeof(space), &able);
    device_read_abilities(space, 63, &able);
    assert_false(able.readable);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_sysfs_shows),
        cmocka_unit_test(a_missing_tree_is_an_error),
        cmocka_unit_test(finds_what_travels_together),
        cmocka_unit_test(access_control_keeps_functions_apart),
        cmocka_unit_test(says_how_a_function_is_reset),
        cmocka_unit_test(says_who_has_it_and_what_it_suits),
        cmocka_unit_test(says_what_is_shared),
        cmocka_unit_test(says_when_interrupts_are_lines),
        cmocka_unit_test(says_what_the_machine_lacks),
        cmocka_unit_test(ends_on_any_configuration_space),
    };

    return cmocka_run_group_tests_name("doctor", tests, NULL, NULL);
}
