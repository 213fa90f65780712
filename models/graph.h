/* A model as a list of layers in execution order, each reading earlier layers' outputs.
 *
 *   layers   0 token_embedding   1 position_embedding   2 block0.ln1   ...   n-1 loss
 *   units    |------ end ------| |---- block0 ----| |---- block1 ----|  |--- end ---|
 *
 * A stage is a run of whole units. End units stay with the first and last stage and are not counted
 * in `balance` unless the plan says "ends": "counted". Every tensor is some layer's output, so a
 * tensor's number is its layer's number. */
#pragma once
#include "models/layer.h"

#define PW_GRAPH_INPUT (-1) /* as a layer's input: the sample itself */

typedef struct {
  char *name; /* unique: "block3.attention.qkv" */
  const PwLayerType *type;
  PwLayerAttributes attributes;
  int n_inputs;
  int inputs[PW_LAYER_INPUTS_MAX]; /* layer numbers, or PW_GRAPH_INPUT */
  int unit;
  int shares_with; /* layer whose first parameter this one uses (tied weights), or -1; smaller than
                      its own number and never itself a sharer */
  /* The gradient of its output is made in training: FALSE for losses, where gradients start. */
  gboolean needs_gradient;
  PwLayerInfo info;
} PwLayer;

typedef struct {
  char *name;
  int first_layer, n_layers;
  gboolean is_end;
} PwUnit;

typedef struct {
  char *name;    /* "gpt" */
  PwShape input; /* of one sample */
  PwShape target;
  int n_layers;
  PwLayer *layers;
  int n_units;
  PwUnit *units;
} PwGraph;

/* Building: begin a unit, add layers, finish. The builder keeps the first error ("gpt: block0.qkv:
 * 10 features where [128, 8] fp32 comes in") and ignores what follows it. A loss layer may only
 * come last; alone in its unit it makes it an end. TARGET is what the loss wants; all zero: filled
 * in from the loss. */
typedef struct PwGraphBuilder PwGraphBuilder;
PwGraphBuilder *pw_graph_builder_new (const char *name, PwShape input, PwShape target);
void pw_graph_builder_begin_unit (PwGraphBuilder *builder, const char *name, gboolean is_end);
/* Returns the layer's number, -1 after an error. N inputs must be the type's. NAME is prefixed with
 * the unit's name and a dot. */
int pw_graph_builder_add (PwGraphBuilder *builder, const char *type, const char *name,
                          const PwLayerAttributes *attributes, const int *inputs, int n_inputs);
/* LAYER uses the first parameter of OWNER, an earlier layer; both have the same shape. */
void pw_graph_builder_share (PwGraphBuilder *builder, int layer, int owner);
/* What has been added so far; NULL before the first layer and after an error. */
const PwLayer *pw_graph_builder_last (const PwGraphBuilder *builder);
/* Frees BUILDER. NULL on error. */
PwGraph *pw_graph_builder_finish (PwGraphBuilder *builder, GError **error);

/* Makes activations, their gradients and parameters, fp32 when built, of ELEMENT by describing
 * every layer again. What a type says is fp32 whatever comes in (statistics, losses, targets) stays
 * so. After an error GRAPH can only be freed. */
gboolean pw_graph_set_element (PwGraph *graph, PwDtype element, GError **error);

void pw_graph_free (PwGraph *graph);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwGraph, pw_graph_free)

/* Elements of the layers' parameters; one shared by several of them counts once. */
int64_t pw_graph_parameters (const PwGraph *graph, int first_layer, int n_layers);
/* The same in bytes as layers compute with them, and of the fp32 copies that training keeps of
 * those of a half type (1710.03740). */
typedef struct {
  int64_t elements, bytes, master_bytes;
} PwParameterSize;
PwParameterSize pw_graph_parameter_size (const PwGraph *graph, int first_layer, int n_layers);
/* Forward plus both gradients of one sample: "model FLOPs" (Megatron-LM's count, no
 * recomputation). */
int64_t pw_graph_flops (const PwGraph *graph, int first_layer, int n_layers);
/* LAYER is linear, and a gelu that reads it comes right after it in its unit, where nothing can be
 * cut: both may run at once, in the second one's place. What LAYER reads is kept until then. Not so
 * where one of them alone is to be run AGAIN: [n_layers], or NULL for none. */
gboolean pw_graph_runs_with_next (const PwGraph *graph, const gboolean *again, int layer);
/* All invariants: layer order, shapes, unit cover; for tests and assertions. */
gboolean pw_graph_check (const PwGraph *graph, GError **error);
/* The table of `model show`: units with their layers, shapes, parameters and FLOPs. */
char *pw_graph_to_string (const PwGraph *graph);
json_t *pw_graph_to_json (const PwGraph *graph);
