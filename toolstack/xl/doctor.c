// SPDX-License-Identifier: Apache-2.0
//
// xl doctor: whether the machine and its devices are ready for domains, and what to do about what
// is not. The library finds out and judges; here findings become lines or JSON. The status is 1
// when the machine, or the device that was named, has a problem.
#include "xl.h"

#include <toolstack/doctor.h>
#include <toolstack/memory.h>

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SYSFS "/sys"

static const char *const level_words[] = {
    [FINDING_GOOD] = "good", [FINDING_NOTE] = "note", [FINDING_PROBLEM] = "problem"};
static const char *const verdicts[] = {[FINDING_GOOD] = "ready",
                                       [FINDING_NOTE] = "not ready as it is",
                                       [FINDING_PROBLEM] = "has a problem"};

static struct json_object *findings_json(const struct findings *findings)
{
    struct json_object *array = json_object_new_array();

    for (size_t i = 0; i < findings->count; i++) {
        const struct finding *finding = &findings->list[i];
        struct json_object *object = json_object_new_object();

        json_object_object_add(object, "topic",
                               json_object_new_string(finding_topic_word(finding->topic)));
        json_object_object_add(object, "level",
                               json_object_new_string(level_words[finding->level]));
        json_object_object_add(object, "text", json_object_new_string(finding->text));
        if (finding->advice)
            json_object_object_add(object, "advice", json_object_new_string(finding->advice));
        json_object_array_add(array, object);
    }
    return array;
}

static void print_findings(const struct findings *findings, bool all)
{
    for (size_t i = 0; i < findings->count; i++) {
        const struct finding *finding = &findings->list[i];

        if (!all && finding->level == FINDING_GOOD)
            continue;
        printf("  %-8s %s [%s]\n", level_words[finding->level], finding->text,
               finding_topic_word(finding->topic));
        if (finding->advice)
            printf("           %s\n", finding->advice);
    }
}

static struct json_object *device_json(const struct device_facts *device, const char *address,
                                       const struct findings *findings)
{
    struct json_object *object = json_object_new_object();

    json_object_object_add(object, "address", json_object_new_string(address));
    json_object_object_add(object, "class", json_object_new_string(device_class_word(device)));
    json_object_object_add(object, "vendor", json_object_new_int(device->vendor));
    json_object_object_add(object, "device", json_object_new_int(device->device));
    json_object_object_add(object, "level",
                           json_object_new_string(level_words[findings_worst(findings)]));
    json_object_object_add(object, "findings", findings_json(findings));
    return object;
}

// Says what there is to say of one function, into the array if there is one. Returns whether it has
// a problem.
static bool show_device(const struct doctor_facts *facts, size_t place, bool all,
                        struct json_object *array)
{
    const struct device_facts *device = &facts->devices[place];
    struct findings findings = {0};
    char address[PCI_TEXT_SIZE];

    pci_format(&device->function, address);
    doctor_judge_device(facts, place, &findings);
    enum finding_level worst = findings_worst(&findings);

    if (array) {
        json_object_array_add(array, device_json(device, address, &findings));
    } else {
        printf("\n%s, %s", address, device_class_word(device));
        if (device->seen)
            printf(" %04x:%04x", device->vendor, device->device);
        printf(": %s\n", verdicts[worst]);
        print_findings(&findings, all);
    }
    findings_free(&findings);
    return worst == FINDING_PROBLEM;
}

static bool show_machine(const struct doctor_facts *facts, struct json_object *object)
{
    struct findings findings = {0};

    doctor_judge_machine(facts, &findings);
    bool problem = findings_worst(&findings) == FINDING_PROBLEM;

    if (object) {
        json_object_object_add(object, "machine", findings_json(&findings));
    } else {
        printf("The machine: %s\n", problem ? "has a problem" : "can run domains");
        print_findings(&findings, true);
    }
    findings_free(&findings);
    return problem;
}

static struct error *show(struct xl *xl, const struct doctor_facts *facts, const char *word,
                          bool json)
{
    struct json_object *array = json ? json_object_new_array() : NULL;
    struct json_object *object = json ? json_object_new_object() : NULL;
    struct pci_function function;
    bool problem = false;
    size_t place = 0;

    if (word && (!pci_parse(word, &function) ||
                 (place = doctor_find(facts, &function)) == facts->device_count)) {
        json_object_put(array);
        json_object_put(object);
        return error_advice(error_new(ERROR_NO_DEVICE, "there is no PCI function %s", word),
                            "xl doctor shows all that there are.");
    }
    if (word) {
        problem = show_device(facts, place, true, array);
    } else {
        problem = show_machine(facts, object);
        for (size_t i = 0; i < facts->device_count; i++)
            if (!facts->devices[i].able.is_bridge && facts->devices[i].class >> 16 != 0x06)
                show_device(facts, i, xl->verbose > 0, array);
    }
    if (json) {
        json_object_object_add(object, "devices", array);
        xl_print_json(object);
    }
    xl->status = problem;
    return NULL;
}

COMMAND(doctor)
{
    static const struct option longs[] = {
        {"help", no_argument, NULL, 'h'}, JSON_OPTION, END_OF_OPTIONS};
    struct doctor_facts facts = {0};
    bool json = false;
    int option;

    while ((option = xl_option(xl, argc, argv, "h", longs)) >= 0)
        json |= option == OPTION_JSON;
    TRY(xl_expect_arguments(xl, argc, 0, 1));
    struct error *error = doctor_read_sysfs(SYSFS, &facts);

    if (!error)
        error = doctor_ask_hypervisor(&xl->toolstack, &facts);
    if (!error)
        error = show(xl, &facts, optind < argc ? argv[optind] : NULL, json);
    doctor_free(&facts);
    return error;
}
