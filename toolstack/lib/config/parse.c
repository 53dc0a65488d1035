// SPDX-License-Identifier: Apache-2.0
//
// The parser: one pass over the text, no backtracking, lists to a fixed depth. struct parser holds
// where it stands. Values are built in place in the config; on an error everything that was begun
// is freed by the one who began it, and the config keeps the complete assignments.
#include <toolstack/config.h>
#include <toolstack/memory.h>

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 4, ITEMS_MAX = 65536 };

struct parser {
    const char *at;
    const char *end;
    struct config_place place;
};

static bool ended(const struct parser *parser)
{
    return parser->at == parser->end;
}

static char peek(const struct parser *parser)
{
    return ended(parser) ? '\0' : *parser->at;
}

static void advance(struct parser *parser)
{
    if (*parser->at++ == '\n') {
        parser->place.line++;
        parser->place.column = 1;
    } else {
        parser->place.column++;
    }
}

struct error *config_error(const struct config_place *place, enum error_code code,
                           const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    char *message = memory_vformat(format, arguments);
    va_end(arguments);
    struct error *error = place->line ? error_new(code, "%s:%u:%u: %s", place->source, place->line,
                                                  place->column, message)
                                      : error_new(code, "%s: %s", place->source, message);
    free(message);
    return error;
}

// What stands at the parser's place, for an error: a character, or the end.
static struct error *unexpected(const struct parser *parser, const char *wanted)
{
    char found[32];
    unsigned char character = (unsigned char)peek(parser);

    if (ended(parser))
        snprintf(found, sizeof(found), "the end of the file");
    else if (character == '\n')
        snprintf(found, sizeof(found), "the end of the line");
    else if (isprint(character))
        snprintf(found, sizeof(found), "'%c'", character);
    else
        snprintf(found, sizeof(found), "byte 0x%02x", character);
    return config_error(&parser->place, ERROR_SYNTAX, "%s is expected here, not %s", wanted, found);
}

// Skips blanks and comments; ends of lines, too, when they do not matter.
static void skip(struct parser *parser, bool lines)
{
    while (!ended(parser)) {
        char character = peek(parser);

        if (character == '#')
            while (!ended(parser) && peek(parser) != '\n')
                advance(parser);
        else if (character == ' ' || character == '\t' || character == '\r' ||
                 (lines && character == '\n'))
            advance(parser);
        else
            return;
    }
}

static char *take_text(const char *start, const char *end)
{
    char *text = memory_zeroed((size_t)(end - start) + 1);

    memcpy(text, start, (size_t)(end - start));
    return text;
}

static void value_free(struct config_value *value)
{
    for (size_t i = 0; i < value->count; i++)
        value_free(&value->items[i]);
    free(value->items);
    free(value->text);
}

static struct error *parse_string(struct parser *parser, struct config_value *value)
{
    char quote = peek(parser);

    advance(parser);
    const char *start = parser->at;

    while (!ended(parser) && peek(parser) != quote && peek(parser) != '\n' && peek(parser))
        advance(parser);
    if (peek(parser) != quote || ended(parser))
        return error_advice(
            config_error(&value->place, ERROR_SYNTAX,
                         "the string that begins here does not end on its line"),
            "Close it with %c, and use the other kind of quote for quotes inside it.", quote);
    value->kind = CONFIG_STRING;
    value->text = take_text(start, parser->at);
    advance(parser);
    return NULL;
}

static struct error *parse_number(struct parser *parser, struct config_value *value)
{
    const char *start = parser->at;

    while (isalnum((unsigned char)peek(parser)) || peek(parser) == '_' || peek(parser) == '-')
        advance(parser);
    value->kind = CONFIG_NUMBER;
    value->text = take_text(start, parser->at);
    char *end;

    errno = 0;
    strtoull(value->text, &end, 0);
    if (*end || errno || end == value->text) {
        struct error *error = error_advice(
            config_error(&value->place, ERROR_SYNTAX, "\"%s\" is no number", value->text),
            "Put text in quotes: \"%s\".", value->text);

        free(value->text);
        value->text = NULL;
        return error;
    }
    return NULL;
}

static struct error *parse_value(struct parser *parser, struct config_value *value,
                                 unsigned int depth);

static struct error *parse_items(struct parser *parser, struct config_value *value,
                                 unsigned int depth)
{
    for (;;) {
        skip(parser, true);
        if (peek(parser) == ']' && !ended(parser)) {
            advance(parser);
            return NULL;
        }
        if (value->count == ITEMS_MAX)
            return config_error(&parser->place, ERROR_SYNTAX, "the list has too many items");
        value->items = memory_resized(value->items, value->count + 1, sizeof(*value->items));
        TRY(parse_value(parser, &value->items[value->count], depth + 1));
        value->count++;
        skip(parser, true);
        if (peek(parser) == ',')
            advance(parser);
        else if (peek(parser) != ']')
            return error_advice(unexpected(parser, "a comma or a closing bracket"),
                                "The list began in line %u.", value->place.line);
    }
}

static struct error *parse_list(struct parser *parser, struct config_value *value,
                                unsigned int depth)
{
    value->kind = CONFIG_LIST;
    if (depth == DEPTH_MAX)
        return config_error(&parser->place, ERROR_SYNTAX, "lists go no deeper than %d", DEPTH_MAX);
    advance(parser);
    return parse_items(parser, value, depth);
}

// Parses a value into *value, which holds nothing afterwards when there was an error.
static struct error *parse_value(struct parser *parser, struct config_value *value,
                                 unsigned int depth)
{
    struct error *error;

    *value = (struct config_value){.place = parser->place};
    char first = peek(parser);

    if (first == '"' || first == '\'')
        error = parse_string(parser, value);
    else if (first == '[')
        error = parse_list(parser, value, depth);
    else if (isalnum((unsigned char)first))
        error = parse_number(parser, value);
    else
        error = unexpected(parser, "a value (a number, a quoted string or a list)");
    if (error) {
        value_free(value);
        *value = (struct config_value){0};
    }
    return error;
}

static struct config_entry *find_entry(const struct config *config, const char *key)
{
    for (size_t i = 0; i < config->count; i++)
        if (!strcmp(config->entries[i].key, key))
            return &config->entries[i];
    return NULL;
}

// Sets a key, taking the value over.
static void assign(struct config *config, char *key, const struct config_place *place,
                   struct config_value *value)
{
    struct config_entry *entry = find_entry(config, key);

    if (entry) {
        value_free(&entry->value);
        entry->value = *value;
        entry->place = *place;
        free(key);
        return;
    }
    config->entries = memory_resized(config->entries, config->count + 1, sizeof(*config->entries));
    config->entries[config->count++] =
        (struct config_entry){.key = key, .place = *place, .value = *value};
}

// "+=": lists and strings grow. The value and the key are taken over in any case.
static struct error *append(struct config *config, char *key, const struct config_place *place,
                            struct config_value *value)
{
    struct config_entry *entry = find_entry(config, key);

    if (!entry) {
        assign(config, key, place, value);
        return NULL;
    }
    struct config_value *old = &entry->value;
    struct error *error = NULL;

    if (old->kind != value->kind || old->kind == CONFIG_NUMBER) {
        error = config_error(&value->place, ERROR_SYNTAX,
                             "+= adds a list to a list or a string to a string, and %s is neither",
                             key);
        value_free(value);
    } else if (old->kind == CONFIG_STRING) {
        char *joined = memory_format("%s%s", old->text, value->text);

        free(old->text);
        old->text = joined;
        value_free(value);
    } else {
        old->items = memory_resized(old->items, old->count + value->count, sizeof(*old->items));
        for (size_t i = 0; i < value->count; i++)
            old->items[old->count++] = value->items[i];
        free(value->items);
    }
    free(key);
    return error;
}

static struct error *parse_assignment(struct parser *parser, struct config *config)
{
    struct config_place place = parser->place;
    const char *start = parser->at;
    struct config_value value;

    if (!isalpha((unsigned char)peek(parser)) && peek(parser) != '_')
        return unexpected(parser, "the name of a setting");
    while (isalnum((unsigned char)peek(parser)) || (peek(parser) && strchr("_-.", peek(parser))))
        advance(parser);
    const char *end = parser->at;

    skip(parser, false);
    bool adding = peek(parser) == '+';

    if (adding)
        advance(parser);
    if (peek(parser) != '=')
        return unexpected(parser, "'='");
    advance(parser);
    skip(parser, false);
    TRY(parse_value(parser, &value, 0));
    char *key = take_text(start, end);

    if (adding)
        return append(config, key, &place, &value);
    assign(config, key, &place, &value);
    return NULL;
}

struct error *config_add_text(struct config *config, const char *source, const char *text,
                              size_t length)
{
    config->sources =
        memory_resized(config->sources, config->source_count + 1, sizeof(*config->sources));
    char *name = memory_copy_text(source);

    config->sources[config->source_count++] = name;
    struct parser parser = {text, text + length, {name, 1, 1}};

    for (;;) {
        skip(&parser, true);
        if (peek(&parser) == ';') {
            advance(&parser);
            continue;
        }
        if (ended(&parser))
            return NULL;
        TRY(parse_assignment(&parser, config));
        skip(&parser, false);
        if (!ended(&parser) && peek(&parser) != '\n' && peek(&parser) != ';')
            return error_advice(unexpected(&parser, "the end of the line"),
                                "Separate settings by new lines or semicolons.");
    }
}

struct error *config_add_file(struct config *config, const char *path)
{
    FILE *file = strcmp(path, "-") ? fopen(path, "r") : stdin;

    if (!file)
        return error_errno(ERROR_NO_FILE, errno, "cannot read the configuration %s", path);
    char *text = memory_zeroed(CONFIG_SIZE_MAX);
    size_t length = fread(text, 1, CONFIG_SIZE_MAX, file);
    struct error *error = NULL;

    if (ferror(file))
        error = error_errno(ERROR_NO_FILE, errno, "cannot read the configuration %s", path);
    else if (length == CONFIG_SIZE_MAX)
        error = error_new(ERROR_SYNTAX, "%s is too large for a configuration", path);
    else
        error = config_add_text(config, file == stdin ? "standard input" : path, text, length);
    if (file != stdin)
        fclose(file);
    free(text);
    return error;
}

void config_free(struct config *config)
{
    for (size_t i = 0; i < config->count; i++) {
        free(config->entries[i].key);
        value_free(&config->entries[i].value);
    }
    for (size_t i = 0; i < config->source_count; i++)
        free(config->sources[i]);
    free(config->entries);
    free(config->sources);
    *config = (struct config){0};
}

const struct config_value *config_find(struct config *config, const char *key)
{
    struct config_entry *entry = find_entry(config, key);

    if (!entry)
        return NULL;
    entry->used = true;
    return &entry->value;
}
