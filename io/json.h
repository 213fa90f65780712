/* JSON files read by a table: each row is a key, its type, where it lands in a struct, and its
 * bounds. One reader gives every file the same strictness and the same errors:
 *
 *   plan.json:7: partition.balance[2]: 0 is below the minimum 1
 *   plan.json:3: shedule: unknown key, did you mean "schedule"?
 *
 * Duplicate keys, comments, trailing text and deep nesting are syntax errors (jansson). */
#pragma once
#include <glib.h>
#include <jansson.h>
#include <stdint.h>

#define PW_JSON_ERROR (pw_json_error_quark ())
GQuark pw_json_error_quark (void);
typedef enum {
  PW_JSON_ERROR_SYNTAX,
  PW_JSON_ERROR_UNKNOWN_KEY,
  PW_JSON_ERROR_MISSING_KEY,
  PW_JSON_ERROR_TYPE,
  PW_JSON_ERROR_RANGE,
  PW_JSON_ERROR_VERSION
} PwJsonError;

/* A parsed file: its text is kept so that an error can name the line of a path. */
typedef struct {
  char *file; /* as the user wrote it; for messages */
  char *text;
  json_t *root; /* an object or an array */
} PwJsonFile;
PwJsonFile *pw_json_file_load (const char *path, GError **error);
/* FILE is only a name for messages. */
PwJsonFile *pw_json_file_parse (const char *file, const char *text, GError **error);
void pw_json_file_free (PwJsonFile *json);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwJsonFile, pw_json_file_free)

/* A place in a file: the path from the root, "partition.balance[2]"; "" is the root. */
typedef struct {
  const PwJsonFile
      *file; /* NULL: a value that was never in a file; messages then start with PATH */
  const char *path;
} PwJsonPlace;
/* Sets ERROR to "FILE:LINE: PATH: MESSAGE"; where PATH is not in the file (a missing key), LINE is
 * that of the nearest parent that is. Returns FALSE, so a reader can return it. */
gboolean pw_json_fail (PwJsonPlace place, PwJsonError code, GError **error, const char *format, ...)
    G_GNUC_PRINTF (4, 5);
/* Puts "FILE:LINE: PATH: " before the message of *ERROR, which is set; NULL is allowed. */
void pw_json_prefix_error (PwJsonPlace place, GError **error);
/* The child's path, owned by the caller: "a" + "b" = "a.b"; "a" + 2 = "a[2]". */
char *pw_json_path_key (const char *path, const char *key);
char *pw_json_path_index (const char *path, gsize index);

typedef enum {
  PW_JSON_BOOLEAN,     /* gboolean */
  PW_JSON_INTEGER,     /* int64_t; written without a point, 3.0 is refused */
  PW_JSON_INT,         /* int; the same */
  PW_JSON_NUMBER,      /* double */
  PW_JSON_STRING,      /* char *, owned by the struct */
  PW_JSON_BYTES,       /* int64_t: a number of bytes or "40GiB", "512MB" */
  PW_JSON_ENUM,        /* int: index in NAMES */
  PW_JSON_INT_LIST,    /* GArray * of int, owned by the struct; NULL or to be replaced */
  PW_JSON_NUMBER_LIST, /* GArray * of double, the same */
  PW_JSON_CUSTOM       /* READ does it all */
} PwJsonType;

typedef struct PwJsonKey {
  const char *key;
  PwJsonType type;
  gsize offset; /* in the target struct */
  gboolean required;
  /* Of numbers, bytes and list elements, both inclusive. A maximum below the minimum is none, so
   * {.minimum = 1} has no upper bound; both 0: unbounded. */
  double minimum, maximum;
  const char *const *names; /* PW_JSON_ENUM: NULL-terminated */
  const char *unit;         /* for help texts; NULL: none */
  /* PW_JSON_CUSTOM: reads VALUE into FIELD (target + offset). */
  gboolean (*read) (PwJsonPlace place, json_t *value, void *field, GError **error);
} PwJsonKey;

/* Fills TARGET from OBJECT by the rows KEYS, in the order of the rows; fields of absent keys are
 * left alone, so the caller sets defaults before. On failure TARGET holds what was read so far;
 * free it as usual. */
gboolean pw_json_read_object (PwJsonPlace place, json_t *object, const PwJsonKey *keys,
                              gsize n_keys, void *target, GError **error);

/* "40GiB", "1.5 MB", "123" -> bytes; units in either case. FALSE if TEXT is something else, a part
 * of a byte, or above 2^62. */
gboolean pw_json_parse_bytes (const char *text, int64_t *bytes);
/* The name in NAMES (NULL-terminated) nearest to WORD by edit distance, NULL if none is near. */
const char *pw_json_nearest (const char *word, const char *const *names);
