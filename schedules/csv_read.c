/* A hand-written scanner: rows are lines, cells stand between commas.
 *
 *   cell    =  empty | action | "(" action { ";" action } ")" ( "OVERLAP_F_B" | "GROUP" )
 *   action  =  stage kind [ micro-batch ] [ "@" edge ]
 *
 * A cell may be quoted. GROUP and @edge are ours: a batched group, and the stage edge of a message
 * where it is not the chain's. */
#include "schedules/csv_private.h"
#include "schedules/messages_private.h"

#include <string.h>

typedef struct {
  PwCsvTable *table;
  const char *at, *end; /* of the cell being read, blanks cut off */
  int row;              /* from 0 */
  guint cell;           /* from 1 */
  GError **error;
} Reader;

gboolean
pw__csv_fail (const PwCsvTable *table, PwScheduleError code, int row, guint cell, GError **error,
              const char *format, ...) {
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *message = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error (error, PW_SCHEDULE_ERROR, code, "%s: row %d, cell %u: %s", table->file, row + 1,
               cell, message);
  return FALSE;
}

/* The cell's text, made fit for a message. */
static gboolean
fail (const Reader *r, const char *start, const char *what) {
  gsize length = MIN ((gsize)(r->end - start), 40);
  g_autofree char *raw = g_strndup (start, length);
  g_autofree char *text = g_utf8_make_valid (raw, -1);
  for (char *c = text; *c != '\0'; c++)
    if (g_ascii_iscntrl (*c))
      *c = '?';
  return pw__csv_fail (r->table, PW_SCHEDULE_ERROR_SYNTAX, r->row, r->cell, r->error, "\"%s\" %s",
                       text, what);
}

static gboolean
read_number (Reader *r, int64_t *number) {
  const char *start = r->at;
  for (*number = 0; r->at < r->end && g_ascii_isdigit (*r->at) && *number < G_MAXINT32; r->at++)
    *number = *number * 10 + (*r->at - '0');
  return r->at > start;
}

/* Names that no kind of ours has. */
typedef enum { WORD_UNKNOWN, WORD_KIND, WORD_FULL_BACKWARD, WORD_DROPPED } Word;
static const char *const dropped_words[] = { "WAIT_SEND_F", "WAIT_SEND_B",  "WAIT_RECV_F",
                                             "WAIT_RECV_B", "WAIT_UNSHARD", "WAIT_REDUCE_GRAD" };

static gboolean
is_word (const char *word, gsize length, const char *name) {
  return strncmp (word, name, length) == 0 && name[length] == '\0';
}

static Word
read_word (Reader *r, PwActionKind *kind) {
  const char *word = r->at;
  while (r->at < r->end && (g_ascii_isupper (*r->at) || *r->at == '_'))
    r->at++;
  gsize length = (gsize)(r->at - word);
  for (*kind = 0; *kind < PW_ACTION_N; (*kind)++)
    if (is_word (word, length, pw_action_kinds[*kind].name))
      return WORD_KIND;
  *kind = PW_ACTION_BACKWARD;
  if (is_word (word, length, "BW"))
    return WORD_FULL_BACKWARD;
  for (gsize i = 0; i < G_N_ELEMENTS (dropped_words); i++)
    if (is_word (word, length, dropped_words[i]))
      return WORD_DROPPED;
  return WORD_UNKNOWN;
}

static void
keep (Reader *r, PwAction action, Word word) {
  PwCsvTable *table = r->table;
  table->has_full_backward |= word == WORD_FULL_BACKWARD;
  table->has_input_gradient |= action.kind == PW_ACTION_INPUT_GRADIENT;
  table->has_weight_gradient |= action.kind == PW_ACTION_WEIGHT_GRADIENT;
  action.direction = word == WORD_FULL_BACKWARD;
  g_array_append_val ((GArray *)g_ptr_array_index (table->rows, r->row), action);
  g_array_append_val ((GArray *)g_ptr_array_index (table->cells, r->row), r->cell);
}

/* Reads one action and keeps it, unless it is one of those dropped. */
static gboolean
read_action (Reader *r) {
  const char *start = r->at;
  int64_t stage, microbatch = 0, edge = PW__CSV_NO_EDGE;
  PwActionKind kind;
  if (!read_number (r, &stage))
    return fail (r, start, "does not start with a stage number");
  if (stage >= PW_STAGES_MAX)
    return fail (r, start, "has a stage number above 65534");
  Word word = read_word (r, &kind);
  if (word == WORD_UNKNOWN)
    return fail (r, start, "is no action (expected are F, B, I, W, SEND_F, RECV_F, ...)");
  gboolean numbered = read_number (r, &microbatch);
  if (microbatch >= PW_MICROBATCHES_MAX)
    return fail (r, start, "has a micro-batch number above 16777214");
  if (r->at < r->end && *r->at == '@') {
    r->at++;
    if (word != WORD_KIND || !pw__action_is_message (pw_action (kind, 0, 0))
        || !read_number (r, &edge) || edge >= PW__CSV_NO_EDGE)
      return fail (r, start, "has no stage edge behind @");
  }
  if (word == WORD_DROPPED)
    return TRUE;
  if (numbered != pw_action_kinds[kind].has_microbatch)
    return fail (r, start, numbered ? "takes no micro-batch number" : "has no micro-batch number");
  PwAction action = pw_action (kind, (int)stage, microbatch);
  action.edge = pw__action_is_message (action) ? (uint16_t)edge : 0;
  keep (r, action, word);
  return TRUE;
}

/* Marks the N last actions of the row, which came from one pair of brackets. */
static gboolean
close_brackets (Reader *r, const char *start, guint n) {
  GArray *row = g_ptr_array_index (r->table->rows, r->row);
  PwAction *actions = n > 0 ? &g_array_index (row, PwAction, row->len - n) : NULL;
  gsize length = (gsize)(r->end - r->at);
  gboolean overlaps = is_word (r->at, length, "OVERLAP_F_B");
  if (!overlaps && !is_word (r->at, length, "GROUP"))
    return fail (r, start, "is not closed by )OVERLAP_F_B or )GROUP");
  if (overlaps && n != 2)
    return fail (r, start, "overlaps something other than two actions");
  for (guint i = 0; i < n; i++)
    if (overlaps != pw_action_kinds[actions[i].kind].is_counted
        || (!overlaps && !pw__action_is_message (actions[i])))
      return fail (r, start, overlaps ? "overlaps what is not F, B, I or W" : "groups no messages");
  for (guint i = 0; i + 1 < n; i++) {
    actions[i].paired = overlaps ? 1 : 0;
    actions[i].grouped = overlaps ? 0 : 1;
  }
  r->at = r->end;
  return TRUE;
}

static gboolean
read_brackets (Reader *r) {
  const char *start = r->at;
  GArray *row = g_ptr_array_index (r->table->rows, r->row);
  guint before = row->len;
  do {
    r->at++;
    if (!read_action (r))
      return FALSE;
  } while (r->at < r->end && *r->at == ';');
  if (r->at == r->end || *r->at != ')')
    return fail (r, start, "misses a closing bracket");
  r->at++;
  return close_brackets (r, start, row->len - before);
}

static gboolean
read_cell (Reader *r, const char *start, const char *end) {
  while (start < end && g_ascii_isspace (*start))
    start++;
  while (end > start && g_ascii_isspace (end[-1]))
    end--;
  if (end - start >= 2 && *start == '"' && end[-1] == '"') {
    start++;
    end--;
  }
  r->at = start;
  r->end = end;
  if (start == end)
    return TRUE;
  if (!(*start == '(' ? read_brackets (r) : read_action (r)))
    return FALSE;
  return r->at == end || fail (r, start, "has something behind its action");
}

static void
free_array (gpointer array) {
  g_array_free (array, TRUE);
}

/* "\n", "\r\n" or, from old spreadsheets, "\r". */
static gsize
line_end_length (const char *end) {
  if (*end == '\0')
    return 0;
  return end[0] == '\r' && end[1] == '\n' ? 2 : 1;
}

static const char *
read_row (Reader *r, const char *at) {
  g_ptr_array_add (r->table->rows, g_array_new (FALSE, FALSE, sizeof (PwAction)));
  g_ptr_array_add (r->table->cells, g_array_new (FALSE, FALSE, sizeof (guint32)));
  for (r->cell = 1;; r->cell++) {
    const char *end = at + strcspn (at, ",\r\n");
    if (!read_cell (r, at, end))
      return NULL;
    if (*end != ',')
      return end + line_end_length (end);
    at = end + 1;
  }
}

PwSchedule *
pw_schedule_from_csv (const char *file, const char *text, const PwStageEdges *edges,
                      GError **error) {
  g_autoptr (GPtrArray) rows = g_ptr_array_new_with_free_func (free_array);
  g_autoptr (GPtrArray) cells = g_ptr_array_new_with_free_func (free_array);
  PwCsvTable table = { .file = file, .rows = rows, .cells = cells };
  Reader reader = { .table = &table, .error = error };
  const char *at = g_str_has_prefix (text, "\xef\xbb\xbf") ? text + 3 : text;
  /* Blank lines at the end are no ranks; one in between is a rank without work. */
  const char *end = at + strlen (at);
  while (end > at && g_ascii_isspace (end[-1]))
    end--;
  while (at < end) {
    at = read_row (&reader, at);
    if (at == NULL)
      return NULL;
    reader.row++;
  }
  return pw__csv_infer (&table, edges, error);
}
