/* Where results go: one JSON object or a file. */
#pragma once
#include <glib.h>
#include <jansson.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC (json_t, json_decref)

/* A real, written as one (14.0); null if it is no number. */
json_t *pw_output_number (double number);
json_t *pw_output_string (const char *text); /* NULL: null */
/* Takes OBJECT and prints it on standard output, keys in the order in which they were set. */
void pw_output_json (json_t *object);
/* TEXT to the file PATH, atomically, or to standard output if PATH is NULL or "-". */
gboolean pw_output_text (const char *path, const char *text, GError **error);
/* "pipewright: ..." on standard error, behind all that was printed. */
void pw_output_complain (const char *format, ...) G_GNUC_PRINTF (1, 2);
/* Before long work: PATH (NULL: nothing to check) can be written, as far as can be seen now. */
gboolean pw_output_check (const char *option, const char *path, GError **error);

/* Progress on standard error, one line that overwrites itself, where that is a terminal. */
gboolean pw_progress_wanted (void);
void pw_progress_show (const char *format, ...) G_GNUC_PRINTF (1, 2);
void pw_progress_clear (void);
