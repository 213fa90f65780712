/* Shared by the files of plans/ alone. */
#pragma once
#include "plans/plan.h"
#include "plans/resolve.h"

#define PW_PLAN_BATCH_MAX 1e9
#define PW_PLAN_STEPS_MAX 1e12
#define PW_PLAN_SEED_MAX 9007199254740992.0 /* 2^53, what a JSON number keeps exactly */

extern const char *const pw__backend_names[], *const pw__transport_names[];
extern const PwOptimizerPlan pw__optimizer_defaults[]; /* by kind */

/* Readers for the table of plan.c, see plan_sections.c. */
gboolean pw__plan_read_partition (PwJsonPlace place, json_t *value, void *field, GError **error);
gboolean pw__plan_read_schedule (PwJsonPlace place, json_t *value, void *field, GError **error);
/* One value by one row. */
gboolean pw__plan_read_value (PwJsonPlace place, json_t *value, const PwJsonKey *row, void *target,
                              GError **error);
/* VALUE's number among NAMES; an error lists them. */
gboolean pw__plan_parse_name (const char *value, const char *const *names, int *out,
                              GError **error);
gboolean pw__plan_read_optimizer (PwJsonPlace place, json_t *value, void *field, GError **error);
gboolean pw__plan_read_data (PwJsonPlace place, json_t *value, void *field, GError **error);
gboolean pw__plan_read_backend (PwJsonPlace place, json_t *value, void *field, GError **error);
gboolean pw__plan_read_transport (PwJsonPlace place, json_t *value, void *field, GError **error);

/* NAME as seen from FILE's folder; absolute names and "-" stay as they are. */
char *pw__plan_relative (const char *file, const char *name);

/* Sets a PW_PLAN_ERROR with the place of KEY ("partition.balance"): its line in the plan, or the
 * option if OPTION ("balance", NULL: none) was given on the command line. Returns FALSE. */
gboolean pw__plan_fail (const PwPlan *plan, const char *key, const char *option, PwPlanError code,
                        GError **error, const char *format, ...) G_GNUC_PRINTF (6, 7);
/* Puts the same place before the message of *ERROR. */
void pw__plan_prefix_error (const PwPlan *plan, const char *key, const char *option,
                            GError **error);
/* Times of the exchanges of gradients and norms, into the resolved costs. */
void pw__resolve_collectives (const PwPlan *plan, const PwResolvedPlan *resolved, int ranks,
                              int directions);
/* Bytes that move when the layer's parameters are updated. */
double pw__layer_update_bytes (const PwLayerInfo *info, int optimizer_slots);

/* Whether an override named OPTION was applied. */
gboolean pw__plan_is_overridden (const PwPlan *plan, const char *option);

/* TEXT is a schedule's name, or a path (one with a folder, or that ends in .csv) as seen from FILE.
 */
gboolean pw__plan_set_schedule (PwPlan *plan, const char *text, const char *file, GError **error);
/* A number of micro-batches or the name of a rule; FALSE if TEXT is neither. */
gboolean pw__plan_set_group (PwScheduleParams *params, const char *text);

extern const PwHardware pw__hardware_catalogue[];
extern const gsize pw__hardware_catalogue_n;

/* Rows of a link, in hardware and cost files. FIELD is a PwLink. */
gboolean pw__link_read (PwJsonPlace place, json_t *value, void *field, GError **error);
json_t *pw__link_to_json (const PwLink *link);

/* Tables of rates: FIELD is a PwRates, or a PwMessageRates. */
gboolean pw__rates_read_products (PwJsonPlace place, json_t *value, void *field, GError **error);
gboolean pw__rates_read_bytes (PwJsonPlace place, json_t *value, void *field, GError **error);
gboolean pw__messages_read (PwJsonPlace place, json_t *value, void *field, GError **error);
/* Sets KEY of OBJECT, if there are rows. */
void pw__rates_add_products (json_t *object, const char *key, const PwRates *rates);
void pw__rates_add_bytes (json_t *object, const char *key, const PwRates *rates);
void pw__messages_add (json_t *object, const PwMessageRates *messages);
/* Takes ROOT. Reals are written with 17 digits, so that they are read back to the last bit. */
gboolean pw__json_save (json_t *root, const char *path, GError **error);

/* Stage bounds in units by the plan's method, which it leaves in RESOLVED; STASH_MICROBATCHES: how
 * many micro-batches' activations a rank holds. */
PwPartition *pw__plan_partition_units (const PwPlan *plan, PwResolvedPlan *resolved, int stages,
                                       const double *weights, double stash_microbatches,
                                       GError **error);
PwPartition *pw__plan_partition_layers (const PwGraph *graph, const PwPartition *units);
/* Every tensor that a later stage reads, once per reading stage, and the shared parameters. */
/* NULL: more than PW_EDGES_MAX. */
PwStageEdges *pw__plan_stage_edges (const PwGraph *graph, const PwPartition *layers);

/* What resolving passes from step to step. */
typedef struct {
  const PwPlan *plan;
  PwResolveOptions options;
  PwResolvedPlan *out;
  char *csv_text;          /* NULL: a schedule by name */
  const char *name;        /* of the schedule that is generated */
  PwScheduleParams params; /* complete */
} PwResolver;
/* The plan's file as a schedule; fills in ranks and micro-batches of the parameters. */
/* Gives COSTS the plan's topology. */
gboolean pw__resolve_topology (const PwPlan *plan, PwStageCosts *costs, GError **error);
PwSchedule *pw__resolve_read_csv (PwResolver *resolver, GError **error);
/* Takes SCHEDULE, which that read, proves it on the model's edges, and sets `compute`, and
 * `lowered` where the file has messages. */
gboolean pw__resolve_finish_csv (PwResolver *resolver, PwSchedule *schedule, GError **error);
