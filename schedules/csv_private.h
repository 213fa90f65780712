/* A CSV file between reading its cells and being a schedule. */
#pragma once
#include "schedules/csv.h"

/* What `edge` holds until the edges are known: the cell named none. */
#define PW__CSV_NO_EDGE 65535

typedef struct {
  const char *file;
  GPtrArray *rows;  /* GArray of PwAction, one per rank */
  GPtrArray *cells; /* GArray of guint32: each action's cell, from 1; for messages */
  /* A full backward written BW has `direction` set until the dialect is known. */
  gboolean has_full_backward, has_input_gradient, has_weight_gradient;
} PwCsvTable;

/* Sets ERROR to "FILE: row R, cell C: ...", counted from 1; returns FALSE. */
gboolean pw__csv_fail (const PwCsvTable *table, PwScheduleError code, int row, guint cell,
                       GError **error, const char *format, ...) G_GNUC_PRINTF (6, 7);
/* Dialect, sizes, placement, directions, edges, mode, promise. */
PwSchedule *pw__csv_infer (PwCsvTable *table, const PwStageEdges *edges, GError **error);
