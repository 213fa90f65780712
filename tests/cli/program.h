/* The built program, called as a user would. */
#pragma once
#include <glib.h>
#include <jansson.h>

typedef struct {
  int status;
  char *out, *err;
} Outcome;
void outcome_clear (Outcome *outcome);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Outcome, outcome_clear)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (json_t, json_decref)

/* A command line of a shell's quoting, without the program's name, in the scratch folder. */
Outcome program_run (const char *format, ...) G_GNUC_PRINTF (1, 2);
/* Expects EXIT status 0 and nothing on standard error; returns standard output. */
char *program_output (const char *format, ...) G_GNUC_PRINTF (1, 2);
/* The same, as the one JSON object it is; `--json` is added. */
json_t *program_json (const char *format, ...) G_GNUC_PRINTF (1, 2);

/* A folder for this test program, made on first use. examples/ is there. */
const char *scratch_folder (void);
void scratch_remove (void);
void scratch_write (const char *name, const char *text);
gboolean scratch_has (const char *name);

double json_number_at (json_t *object, const char *key);
/* The keys of OBJECT, in order, with commas. */
char *json_keys (json_t *object);
