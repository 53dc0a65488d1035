// SPDX-License-Identifier: Apache-2.0
//
// Fuzzer of the configuration parser and of what is made of its result. A configuration that is
// accepted must also survive the way to JSON and back.
#include <json-c/json.h>
#include <stdlib.h>
#include <toolstack/domain_config.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char base[] = "type='pvh';name='n';kernel='k';memory=64\n";
    struct config config = {0};
    struct domain_config domain = {0};
    struct domain_config back = {0};
    struct error *error = config_add_text(&config, "base", base, sizeof(base) - 1);

    if (!error)
        error = config_add_text(&config, "fuzz", (const char *)data, size);
    if (!error)
        error = domain_config_read(&config, &domain);
    if (!error) {
        struct json_object *json = domain_config_to_json(&domain);

        if (domain_config_from_json(json, &back))
            abort();
        json_object_put(json);
    }
    error_free(error);
    domain_config_free(&domain);
    domain_config_free(&back);
    config_free(&config);
    return 0;
}
