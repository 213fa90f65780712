/* How layers run: one row per layer type, made of ops. A row knows nothing of stages, ranks or
 * buffers; it is given tensors for one micro-batch and calls the op table.
 *
 * Outputs and input gradients are assigned (where a tensor has several readers the worker sums),
 * parameter gradients accumulated, as by the ops. */
#pragma once
#include "kernels/kernels.h"
#include "models/graph.h"

typedef struct {
  PwOpContext *context;
  const PwLayer *layer;
  int64_t samples, first_sample; /* in the mini-batch */
  gboolean is_training;
  PwTensor inputs[PW_LAYER_INPUTS_MAX];
  PwTensor output;
  PwTensor stashes[PW_LAYER_STASHES_MAX];
  PwTensor parameters[PW_LAYER_PARAMETERS_MAX];
  PwTensor parameter_gradients[PW_LAYER_PARAMETERS_MAX];
  PwTensor output_gradient;
  PwTensor input_gradients[PW_LAYER_INPUTS_MAX]; /* data NULL: nobody needs it */
  gboolean bias_is_done; /* linear: its bias's gradient was made with that of the gelu behind it */
  /* Loss layers. */
  PwTensor targets;
  double loss_scale;
  double *loss; /* device */
  PwWorkspace workspace;
} PwLayerCall;

/* The forwards of a linear layer and the gelu that reads it. */
gboolean pw_layer_linear_gelu_forward (PwLayerCall *linear, PwLayerCall *gelu, GError **error);
/* The input gradient of that gelu, and the gradient of the linear layer's bias; it has one. */
gboolean pw_layer_gelu_bias_gradient (PwLayerCall *linear, PwLayerCall *gelu, GError **error);

typedef gboolean (*PwLayerFunc) (PwLayerCall *call, GError **error);

typedef struct {
  const char *name; /* the layer type's */
  PwLayerFunc forward;
  PwLayerFunc input_gradient;  /* NULL: nothing to do */
  PwLayerFunc weight_gradient; /* NULL: no parameter has its gradient from W */
  gsize (*workspace) (const PwLayer *layer, PwOpContext *context, int64_t samples); /* NULL: 0 */
} PwLayerRunner;

/* By the layer type's name; NULL if nobody can run it. */
const PwLayerRunner *pw_layer_runner_get (const char *type);
/* For types added with pw_layer_type_register; RUNNER must stay valid. Before executors are made.
 * FALSE if the name is taken. */
gboolean pw_layer_runner_register (const PwLayerRunner *runner);

PwElement pw_layer_element (PwDtype dtype);

static inline const PwOps *
pw_layer_ops (const PwLayerCall *call) {
  return &call->context->backend->ops;
}
/* Bytes of CALL's workspace for one size; 0 where the runner needs none. */
gsize pw_layer_runner_workspace (const PwLayerRunner *runner, const PwLayer *layer,
                                 PwOpContext *context, int64_t samples);
